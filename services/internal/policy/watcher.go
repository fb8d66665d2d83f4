package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trailpost/trailpost/services/internal/retry"
)

// Interval is the time between two readings of the policies, and the longest pause before the first
// answer.
const Interval = 10 * time.Second

// firstAnswerTimeout is how long dead letters wait for a new watcher's first answer. It is far
// above the time that RabbitMQ 3 needs after its own start until it reports policies (13 s were
// seen). An API that is away for longer has an alert by then (TrailpostPoliciesUnknown), and must
// not stop the storing of events.
const firstAnswerTimeout = 5 * time.Minute

// ErrLossy says that a policy would drop what is about to be published.
var ErrLossy = errors.New("a policy of RabbitMQ would lose it")

// ErrUnknown says that nothing is known yet of the policies that would apply.
var ErrUnknown = errors.New("the policies of RabbitMQ are not known yet")

// Watcher reads the policies of both queues at intervals, and keeps the last answer. A nil *Watcher
// knows nothing and allows everything. It is safe for concurrent use.
type Watcher struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex
	began    time.Time
	answers  map[string]time.Time // when a queue's last answer came
	findings map[string][]Finding // by queue
	trouble  string               // why the last reading failed; "": it did not
}

// NewWatcher returns a watcher that has read nothing yet. Without a URL it logs that and returns
// nil.
func NewWatcher(cfg Config, log *slog.Logger) *Watcher {
	if cfg.URL == "" {
		log.Info("policies of the broker are not looked at: RABBITMQ_MANAGEMENT_URL is not set, and one that drops events or dead letters would not be seen")
		return nil
	}
	return &Watcher{cfg: cfg, log: log, began: time.Now(), answers: map[string]time.Time{}, findings: map[string][]Finding{}}
}

// Run reads at intervals until ctx ends. Nobody waits for it.
func (w *Watcher) Run(ctx context.Context) {
	if w == nil {
		return
	}
	pause := 100 * time.Millisecond // until the first answer: the queues may not be declared yet
	for {
		err := w.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		_, known := w.Age()
		w.logChange(err, known)
		if pause = min(2*pause, Interval); known {
			pause = Interval
		}
		if retry.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// missingPatience is how long a queue may be missing until that is a warning: it is declared by the
// first producer or consumer that connects.
const missingPatience = time.Minute

// logChange logs why readings fail, when that changes. Until there was an answer the queue may be
// too new to have one.
func (w *Watcher) logChange(err error, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := !known && errors.Is(err, errMissing)
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	if missing && time.Since(w.began) > missingPatience {
		trouble, missing = trouble+", still", false
	}
	if trouble == w.trouble {
		return
	}
	w.trouble = trouble
	switch {
	case err == nil:
		w.log.Info("policies of the broker are read")
	case errors.Is(err, errNoPolicies), missing:
		w.log.Info("policies of the broker are not known yet", "error", err)
	case !known:
		w.log.Warn("policies of the broker can't be read, and are not known", "error", err)
	default:
		w.log.Warn("policies of the broker can't be read; the last answer holds", "error", err)
	}
}

// Read reads both queues once. What could be read counts, whatever the error.
func (w *Watcher) Read(ctx context.Context) error {
	r, err := newReader(w.cfg)
	if err != nil {
		return err
	}
	defer r.close()
	var errs []error
	for _, name := range []string{w.cfg.Queue, w.cfg.Dead} {
		q, err := r.queue(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.record(name, Judge(&q, w.cfg.Dead))
	}
	return errors.Join(errs...)
}

// ReadWithin reads until both queues' policies are known, for at most d: a broker that was just
// started, or a queue that was just declared, does not report them yet. It returns other errors at
// once.
func (w *Watcher) ReadWithin(ctx context.Context, d time.Duration) error {
	for deadline := time.Now().Add(d); ; {
		err := w.Read(ctx)
		if err == nil || !errors.Is(err, errNoPolicies) && !errors.Is(err, errMissing) || time.Now().After(deadline) {
			return err
		}
		if err := retry.Sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// Known reports whether the policies of the dead-letter queue were read.
func (w *Watcher) Known() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.answers[w.cfg.Dead]
	return known
}

// record stores a queue's findings, and logs those that are new and those that are over.
func (w *Watcher) record(queue string, findings []Finding) {
	slices.SortFunc(findings, func(a, b Finding) int { return strings.Compare(a.Key, b.Key) })
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.findings[queue]
	w.findings[queue], w.answers[queue] = findings, time.Now()
	for _, f := range findings {
		if !slices.Contains(before, f) {
			w.log.Warn("a policy of the broker does harm: "+f.Reason, "queue", f.Queue, "key", f.Key, "by", f.By, "effect", string(f.Effect),
				"accepted", w.cfg.AllowLossy && f.Effect == Drops)
		}
	}
	for _, f := range before {
		if !slices.Contains(findings, f) {
			w.log.Info("a policy of the broker no longer does harm", "queue", f.Queue, "key", f.Key, "by", f.By, "effect", string(f.Effect))
		}
	}
}

// Events returns nil if events may be published, else an [ErrLossy] with the reason: the queue
// would drop what it confirms, or the broker itself moves events to a dead-letter queue that would.
// (The consumer holds back its own letters; nobody can hold back those of the broker.)
func (w *Watcher) Events() error {
	if w == nil || w.cfg.AllowLossy {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.first(w.cfg.Queue, Drops); f != nil {
		return fmt.Errorf("%w: %s", ErrLossy, f.Reason)
	}
	moves, drops := w.first(w.cfg.Queue, DeadLetters), w.first(w.cfg.Dead, Drops)
	if moves != nil && drops != nil {
		return fmt.Errorf("%w: %s; and %s", ErrLossy, moves.Reason, drops.Reason)
	}
	return nil
}

// Letters returns nil if dead letters may be published, else an [ErrLossy] with the reason, or an
// [ErrUnknown] while a new watcher has no answer yet: a letter can wait.
func (w *Watcher) Letters() error {
	if w == nil || w.cfg.AllowLossy {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.first(w.cfg.Dead, Drops); f != nil {
		return fmt.Errorf("%w: %s", ErrLossy, f.Reason)
	}
	if _, known := w.answers[w.cfg.Dead]; !known && time.Since(w.began) < firstAnswerTimeout {
		return fmt.Errorf("%w: dead letters wait for at most %s after the start", ErrUnknown, firstAnswerTimeout)
	}
	return nil
}

// first returns the first finding of that effect, or nil. The caller holds mu.
func (w *Watcher) first(queue string, effect Effect) *Finding {
	for i, f := range w.findings[queue] {
		if f.Effect == effect {
			return &w.findings[queue][i]
		}
	}
	return nil
}

// Findings returns all current findings.
func (w *Watcher) Findings() []Finding {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Finding
	for _, queue := range slices.Sorted(maps.Keys(w.findings)) {
		all = append(all, w.findings[queue]...)
	}
	return all
}

// Age returns the age of the older of both queues' answers. Without both it is the time since the
// start, and known is false.
func (w *Watcher) Age() (age time.Duration, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known = len(w.answers) == 2
	if !known {
		return time.Since(w.began), false
	}
	for _, at := range w.answers {
		age = max(age, time.Since(at))
	}
	return age, true
}
