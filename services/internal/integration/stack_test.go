package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// patience is a test's with what takes milliseconds.
const patience = 60 * time.Second

// stack is a database, a vhost, and what the services are told of them.
type stack struct {
	t       *testing.T
	db      testbed.DB
	vhost   testbed.Vhost
	environ []string
	log     *slog.Logger
	reader  *pgx.Conn
}

func newStack(t *testing.T, settings ...string) *stack {
	t.Helper()
	return stackOn(t, testbed.Postgres(t), testbed.Rabbit(t), settings...)
}

func stackOn(t *testing.T, db testbed.DB, vhost testbed.Vhost, settings ...string) *stack {
	t.Helper()
	s := &stack{t: t, db: db, vhost: vhost}
	s.environ = append([]string{
		"DATABASE_HOST=" + db.Host,
		"DATABASE_PORT=" + strconv.Itoa(int(db.Port)),
		"DATABASE_NAME=" + db.Name,
		"DATABASE_USER=" + db.Writer.Name,
		"DATABASE_PASSWORD=" + db.Writer.Password,
		"RABBITMQ_HOST=" + vhost.Host,
		"RABBITMQ_PORT=" + strconv.Itoa(vhost.Port),
		"RABBITMQ_USER=" + vhost.User,
		"RABBITMQ_PASSWORD=" + vhost.Password,
		"RABBITMQ_VHOST=" + vhost.Name,
		"PRODUCER_HOST=127.0.0.1", "PRODUCER_PORT=0",
		"CONSUMER_HOST=127.0.0.1", "CONSUMER_PORT=0",
		"CONSUMER_RETRY_DELAY=1",
		"LOG_LEVEL=INFO",
	}, settings...)
	s.log = slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s.reader = db.Connect(t, db.Reader)
	return s
}

// testWriter shows the log of a failed test.
type testWriter struct {
	mu sync.Mutex
	t  *testing.T
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil { // Log panics after the test
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (s *stack) config(binary config.Binary) *config.Config {
	s.t.Helper()
	cfg, err := config.Load(binary, s.environ, s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

func (s *stack) broker() broker.Config {
	s.t.Helper()
	cfg, err := app.Broker(s.config(config.ForLetters), "test", s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

// service runs until stop is called, or the test ends.
type service struct {
	url  string
	stop func() error
}

// runner is a producer or a consumer.
type runner interface {
	Run(ctx context.Context) error
	Addr() net.Addr
	Ready() error
}

func (s *stack) start(r runner, err error) *service {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	s.t.Cleanup(func() {
		if err := stop(); err != nil {
			s.t.Error(err)
		}
	})
	eventually(s.t, "the service is ready", func() bool { return r.Ready() == nil })
	return &service{url: "http://" + r.Addr().String(), stop: stop}
}

func (s *stack) producer() *service {
	s.t.Helper()
	p, err := producer.New(s.config(config.ForProducer), s.log)
	return s.start(p, err)
}

func (s *stack) consumer() *service {
	s.t.Helper()
	c, err := app.NewConsumer(s.config(config.ForConsumer), s.log)
	return s.start(c, err)
}

// answer is what a client was told.
type answer struct {
	Code     int
	Header   http.Header
	Body     string
	Status   any      `json:"status"` // a word, or a problem's number
	Message  string   `json:"message"`
	EventID  string   `json:"event_id"`
	Accepted int      `json:"accepted"`
	EventIDs []string `json:"event_ids"`
	Detail   string   `json:"detail"`
	Errors   []struct {
		Index   *int   `json:"index"`
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
}

func post(t *testing.T, url, contentType, body string) answer {
	t.Helper()
	a, err := tryPost(url, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
	MaxIdleConnsPerHost: 100,
	TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // our own servers, on the loopback
}}

func tryPost(url, contentType, body string) (a answer, err error) {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+testKey) // producers that ask for none don't mind
	response, err := client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a = answer{Code: response.StatusCode, Header: response.Header, Body: string(text)}
	err = json.Unmarshal(text, &a)
	return a, err
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// metric reads one sample of a service's /metrics; 0 when it is not there.
func metric(t *testing.T, s *service, sample string) float64 {
	t.Helper()
	_, body := get(t, s.url+"/metrics")
	for line := range strings.Lines(body) {
		if rest, found := strings.CutPrefix(line, sample+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	within(t, patience, what, holds)
}

func within(t *testing.T, d time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", d, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// rows counts rows of the trail.
func (s *stack) rows(where string, args ...any) (n int) {
	s.t.Helper()
	if where == "" {
		where = "true"
	}
	if err := s.reader.QueryRow(context.Background(), "SELECT count(*) FROM log_events WHERE "+where, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stack) waitRows(n int) {
	s.t.Helper()
	var got int
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%d rows", got)
		}
	}()
	eventually(s.t, fmt.Sprintf("%d rows", n), func() bool {
		got = s.rows("")
		return got >= n
	})
	if got != n {
		s.t.Fatalf("%d rows, want %d", got, n)
	}
}

// letters lists the dead events that nobody else holds.
func (s *stack) letters() []deadletter.Entry {
	s.t.Helper()
	var all []deadletter.Entry
	err := deadletter.List(context.Background(), s.broker(), event.Key{}, func(e deadletter.Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil && !errors.Is(err, deadletter.ErrOthers) {
		s.t.Fatal(err)
	}
	return all
}

func (s *stack) waitLetters(n int) []deadletter.Entry {
	s.t.Helper()
	var all []deadletter.Entry
	eventually(s.t, fmt.Sprintf("%d dead letters", n), func() bool {
		all = s.letters()
		return len(all) >= n
	})
	if len(all) != n {
		s.t.Fatalf("%d dead letters, want %d: %+v", len(all), n, all)
	}
	return all
}

func (s *stack) replay(opts deadletter.ReplayOptions) []deadletter.Replayed {
	s.t.Helper()
	var all []deadletter.Replayed
	err := deadletter.Replay(context.Background(), s.broker(), opts, func(r deadletter.Replayed) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// publish puts a message on the queue as another program would.
func (s *stack) publish(p amqp.Publishing) {
	s.t.Helper()
	conn, err := amqp.Dial(s.vhost.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		s.t.Fatal(err)
	}
	p.DeliveryMode = amqp.Persistent
	confirm, err := ch.PublishWithDeferredConfirm("", "log_queue", true, false, p)
	if err != nil || !confirm.Wait() {
		s.t.Fatal("not confirmed", err)
	}
}

func ndjson(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

func lines(n int, format string) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}
