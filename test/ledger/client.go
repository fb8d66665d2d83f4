package ledger

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
	"sync"
	"time"

	"github.com/google/uuid"
)

// Client posts events to a producer and keeps a ledger.
type Client struct {
	*Ledger
	URL  string // the producer's, without a path
	HTTP *http.Client

	Header http.Header // of every request, such as an API key; may be nil

	// MaxPause bounds how long the client waits before it tries again, whatever
	// Retry-After says; 0: not at all.
	MaxPause time.Duration
	// GiveUp is the share of refused requests that are not sent again: what becomes of
	// their events is nobody's promise.
	GiveUp float64
	// Cancel is the share of attempts that are cancelled, at a moment between CancelAfter
	// and CancelWithin.
	Cancel                    float64
	CancelAfter, CancelWithin time.Duration
	// Reuse is the share of accepted events whose id the client uses for another one.
	Reuse float64
}

// Pace is what a client sends.
type Pace struct {
	Events    int // how many; 0: until it is stopped
	PerSecond int
	Batch     int // events a request; 1 goes to /log, more to /log/batch
	Workers   int // requests open at once; 0: 8
}

// NewClient returns a client with a new ledger. Close its idle connections when it
// is done.
func NewClient(url string) *Client {
	const connections = 64
	return &Client{
		Ledger: New(), URL: url,
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}, Timeout: 30 * time.Second},
	}
}

// Pour sends events at that pace and returns when all are accepted, or ctx has
// ended. Closing stop ends it earlier, and well: what is on its way is brought to its end.
func (c *Client) Pour(ctx context.Context, stop <-chan struct{}, p Pace) {
	if p.Workers == 0 {
		p.Workers = 8
	}
	turns := make(chan int) // how many events
	var wg sync.WaitGroup
	for range p.Workers {
		wg.Go(func() {
			for n := range turns {
				c.send(ctx, n)
			}
		})
	}
	tick := time.NewTicker(time.Second * time.Duration(p.Batch) / time.Duration(p.PerSecond))
	defer tick.Stop()
	for left := p.Events; p.Events == 0 || left > 0; left -= p.Batch {
		select {
		case <-ctx.Done():
		case <-stop:
		case <-tick.C:
			size := p.Batch
			if p.Events > 0 {
				size = min(size, left)
			}
			select {
			case <-ctx.Done():
			case <-stop:
			case turns <- size:
				continue
			}
		}
		break
	}
	close(turns)
	wg.Wait()
}

// Start is Pour in the background. stop ends it and waits; wait just waits.
func (c *Client) Start(ctx context.Context, p Pace) (stop, wait func()) {
	stopping, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c.Pour(ctx, stopping, p)
	}()
	wait = func() { <-done }
	return sync.OnceFunc(func() { close(stopping); <-done }), wait
}

func (c *Client) send(ctx context.Context, n int) {
	numbers, events := c.Send(n)
	c.deliver(ctx, numbers, events)
	if n == 1 && rand.Float64() < c.Reuse {
		number, e := c.SendReusing(numbers[0])
		c.deliver(ctx, []int{number}, []Event{e})
	}
}

// deliver posts events until they are accepted, always with the same ids.
func (c *Client) deliver(ctx context.Context, numbers []int, events []Event) {
	ids := make([]uuid.UUID, len(events))
	var text bytes.Buffer
	for i := range events {
		ids[i] = events[i].ID
		text.Write(events[i].Body())
		text.WriteByte('\n')
	}
	for {
		accepted, pause := c.post(ctx, ids, text.Bytes())
		if accepted {
			c.Accept(numbers)
			return
		}
		if rand.Float64() < c.GiveUp {
			return
		}
		if c.MaxPause > 0 {
			pause = min(pause, c.MaxPause/2+rand.N(c.MaxPause/2))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

const noAnswer = "no answer"

// post is one attempt. pause is how long to wait before the next.
func (c *Client) post(ctx context.Context, ids []uuid.UUID, text []byte) (accepted bool, pause time.Duration) {
	pause = 100*time.Millisecond + rand.N(200*time.Millisecond)
	if rand.Float64() < c.Cancel {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.CancelAfter+rand.N(c.CancelWithin-c.CancelAfter))
		defer cancel()
	}
	path, contentType := "/log", "application/json"
	if len(ids) > 1 {
		path, contentType = "/log/batch", "application/x-ndjson"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+path, bytes.NewReader(text))
	if err != nil {
		c.Answered(noAnswer, err.Error())
		return false, pause
	}
	maps.Copy(request.Header, c.Header)
	request.Header.Set("Content-Type", contentType)
	response, err := c.HTTP.Do(request)
	if err != nil {
		c.Answered(noAnswer, "")
		return false, pause
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		c.Answered(noAnswer, "")
		return false, pause
	}
	status := strconv.Itoa(response.StatusCode)
	switch response.StatusCode {
	case http.StatusAccepted:
		complaint := checkAccepted(answer, ids)
		c.Answered(status, complaint)
		return complaint == "", pause
	case http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil {
			c.Answered(status, fmt.Sprintf("503 without Retry-After: %s", answer))
			return false, pause
		}
		c.Answered(status, "")
		return false, time.Duration(seconds)*time.Second + pause
	default:
		c.Answered(status, fmt.Sprintf("%s: status %s, headers %v: %s", time.Now().Format(time.TimeOnly), status, response.Header, answer))
		return false, pause
	}
}

// checkAccepted says what is wrong with a 202's body; "" if nothing is.
func checkAccepted(text []byte, ids []uuid.UUID) (complaint string) {
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
