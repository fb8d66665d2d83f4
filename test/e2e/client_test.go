//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// ledger is what a client was told. run is in the payload of all its events, so that
// they can be found among others.
type ledger struct {
	run string

	mu        sync.Mutex
	sent      int
	accepted  map[uuid.UUID]struct{}
	unsettled map[uuid.UUID]struct{} // sent and not accepted: each may or may not be a row
	answers   map[string]int         // by status, or "no answer"
	faults    []string               // answers that are none of those promised; the first few
	last      time.Time              // when the last 202 came
	gap       time.Duration          // longest time between two 202s
}

// client posts events as the README tells clients to: with ids of its own, and what
// is not accepted again, with the same ids.
type client struct {
	url  string
	http *http.Client
	*ledger
}

func newClient(t *testing.T, url string) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{
		url:  url,
		http: &http.Client{Transport: transport, Timeout: 30 * time.Second},
		ledger: &ledger{
			run: uuid.NewString(), accepted: make(map[uuid.UUID]struct{}), unsettled: make(map[uuid.UUID]struct{}), answers: make(map[string]int),
		},
	}
}

// workers is how many requests a client has open at once.
const workers = 8

// pace is what a client sends.
type pace struct {
	events    int // how many; 0: until it is stopped
	perSecond int
	batch     int // events a request; 1 goes to /log, more to /log/batch
}

// pour sends events at that pace and returns when all are accepted, or ctx has ended.
// Closing stop ends it earlier, and well: what is on its way is brought to its end.
func (c *client) pour(ctx context.Context, stop <-chan struct{}, p pace) {
	turns := make(chan []int) // the events' numbers
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for numbers := range turns {
				c.deliver(ctx, numbers)
			}
		})
	}
	tick := time.NewTicker(time.Second * time.Duration(p.batch) / time.Duration(p.perSecond))
	defer tick.Stop()
	for left := p.events; p.events == 0 || left > 0; left -= p.batch {
		select {
		case <-ctx.Done():
		case <-stop:
		case <-tick.C:
			size := p.batch
			if p.events > 0 {
				size = min(size, left)
			}
			select {
			case <-ctx.Done():
			case <-stop:
			case turns <- c.number(size):
				continue
			}
		}
		break
	}
	close(turns)
	wg.Wait()
}

// start is pour in the background. stop ends it and waits; wait just waits.
func (c *client) start(ctx context.Context, p pace) (stop, wait func()) {
	stopping, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c.pour(ctx, stopping, p)
	}()
	wait = func() { <-done }
	return sync.OnceFunc(func() { close(stopping); <-done }), wait
}

// number gives the next n events their numbers.
func (l *ledger) number(n int) (numbers []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		numbers = append(numbers, l.sent)
		l.sent++
	}
	return numbers
}

// deliver posts events until they are accepted, always with the same ids.
func (c *client) deliver(ctx context.Context, numbers []int) {
	ids := make([]uuid.UUID, len(numbers))
	var body bytes.Buffer
	for i, n := range numbers {
		ids[i] = uuid.Must(uuid.NewV7())
		fmt.Fprintf(&body, `{"event_id":%q,"session_id":%d,"event_type":"review_started","username":"e2e-%d","payload":{"run":%q,"n":%d}}`+"\n", ids[i], n%50+1, n%50, c.run, n)
	}
	c.settle(ids, false)
	for {
		accepted, pause := c.post(ctx, ids, body.Bytes())
		if accepted {
			c.settle(ids, true)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// settle notes what is known of events.
func (l *ledger) settle(ids []uuid.UUID, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if accepted {
			l.accepted[id] = struct{}{}
			delete(l.unsettled, id)
		} else {
			l.unsettled[id] = struct{}{}
		}
	}
	if !accepted {
		return
	}
	now := time.Now()
	if !l.last.IsZero() {
		l.gap = max(l.gap, now.Sub(l.last))
	}
	l.last = now
}

// post is one attempt. pause is how long to wait before the next.
func (c *client) post(ctx context.Context, ids []uuid.UUID, body []byte) (accepted bool, pause time.Duration) {
	pause = 100*time.Millisecond + rand.N(200*time.Millisecond)
	path, contentType := "/log", "application/json"
	if len(ids) > 1 {
		path, contentType = "/log/batch", "application/x-ndjson"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.answer("no answer", err.Error())
		return false, pause
	}
	request.Header.Set("Content-Type", contentType)
	response, err := c.http.Do(request)
	if err != nil {
		c.answer("no answer", "")
		return false, pause
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.answer("no answer", "")
		return false, pause
	}

	status := response.StatusCode
	switch status {
	case http.StatusAccepted:
		if fault := checkAccepted(text, ids); fault != "" {
			c.answer(strconv.Itoa(status), fault)
			return false, pause
		}
		c.answer(strconv.Itoa(status), "")
		return true, 0
	case http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil {
			c.answer(strconv.Itoa(status), fmt.Sprintf("503 without Retry-After: %s", text))
			return false, pause
		}
		c.answer(strconv.Itoa(status), "")
		return false, time.Duration(seconds)*time.Second + pause
	default:
		c.answer(strconv.Itoa(status), fmt.Sprintf("%s: status %d, headers %v: %s", time.Now().Format(time.TimeOnly), status, response.Header, text))
		return false, pause
	}
}

// checkAccepted says what is wrong with a 202's body; "" if nothing is.
func checkAccepted(text []byte, ids []uuid.UUID) (fault string) {
	var answer struct {
		EventID  *uuid.UUID  `json:"event_id"`
		EventIDs []uuid.UUID `json:"event_ids"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Sprintf("202 with a body that can't be read: %v: %s", err, text)
	}
	if answer.EventID != nil {
		answer.EventIDs = append(answer.EventIDs, *answer.EventID)
	}
	if !slices.Equal(answer.EventIDs, ids) {
		return fmt.Sprintf("202 for other ids than were sent: %s", text)
	}
	return ""
}

func (l *ledger) answer(status, fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[status]++
	if fault != "" && len(l.faults) < 10 {
		l.faults = append(l.faults, fault)
	}
}

// total is the number of events that were accepted until now.
func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// summary counts the answers. l.mu is held.
func (l *ledger) summary() string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(l.answers)) {
		parts = append(parts, fmt.Sprintf("%s: %d", status, l.answers[status]))
	}
	return fmt.Sprintf("answers: %s; longest time without a 202: %s", strings.Join(parts, ", "), l.gap.Round(time.Millisecond))
}
