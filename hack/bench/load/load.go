// Package load posts ready-made requests to a producer, at the pace of its answers or at one of its own.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trailpost/trailpost/hack/bench/figures"
)

// Client is a keep-alive connection that posts ready-made requests. net/http's own client would take
// more of the machine than the producer does.
type Client struct {
	conn   net.Conn
	reader *bufio.Reader
}

// Dial connects.
func Dial(addr string) (*Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10)}, nil
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// Request returns the bytes of a POST.
func Request(path, media string, body []byte) []byte {
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, media, len(body))
	return append(head, body...)
}

// Post sends a request and returns the answer's body if it is a 202, or Bento's 200.
func (c *Client) Post(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusAccepted && r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s: %s", r.Status, body)
	}
	return body, nil
}

// WarmUp is what a load leaves out at its start.
const WarmUp = 500 * time.Millisecond

// ClosedLoop has each of many connections post, and post again as soon as it is answered. rate is in requests a second.
func ClosedLoop(ctx context.Context, addr string, connections int, d time.Duration, request []byte) (rate float64, latencies figures.Durations, err error) {
	start := time.Now()
	from, to := start.Add(WarmUp), start.Add(WarmUp+d)
	var mu sync.Mutex
	err = each(addr, connections, func(c *Client) error {
		var own figures.Durations
		for ctx.Err() == nil {
			sent := time.Now()
			if sent.After(to) {
				break
			}
			if _, err := c.Post(request); err != nil {
				return err
			}
			if done := time.Now(); sent.After(from) && done.Before(to) {
				own = append(own, done.Sub(sent))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, own...)
		return ctx.Err()
	})
	return float64(len(latencies)) / d.Seconds(), latencies, err
}

// OpenLoop posts at a rate that does not wait for answers, as clients that know nothing of each other do: a request's
// latency counts from when it was due, however long it had to wait for a connection (no coordinated omission).
// answered, if not nil, hears of each answer.
func OpenLoop(ctx context.Context, addr string, connections int, rate float64, d time.Duration, request []byte, answered func(n int, at time.Time, body []byte)) (latencies figures.Durations, err error) {
	start := time.Now()
	var next atomic.Int64
	var mu sync.Mutex
	err = each(addr, connections, func(c *Client) error {
		var own figures.Durations
		for ctx.Err() == nil {
			n := next.Add(1) - 1
			due := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			if due.After(start.Add(WarmUp + d)) {
				break
			}
			time.Sleep(time.Until(due))
			body, err := c.Post(request)
			if err != nil {
				return err
			}
			done := time.Now()
			if due.After(start.Add(WarmUp)) {
				own = append(own, done.Sub(due))
				if answered != nil {
					answered(int(n), done, body)
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, own...)
		return ctx.Err()
	})
	return latencies, err
}

// each runs do on several connections at once.
func each(addr string, connections int, do func(*Client) error) error {
	errs := make([]error, connections)
	var running sync.WaitGroup
	for i := range connections {
		running.Go(func() {
			c, err := Dial(addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			errs[i] = do(c)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
