package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trailpost/trailpost/services/internal/retryafter"
)

const (
	defaultTimeout = 10 * time.Second // of OTEL_EXPORTER_OTLP_TIMEOUT
	firstRetry     = 200 * time.Millisecond
	maxRetry       = 5 * time.Second
	maxAnswer      = 64 << 10 // bytes of an answer that are read, so that its connection can be used again
)

// client posts spans to a collector: OTLP/HTTP with protobuf (OTLP 1.x, "OTLP/HTTP").
type client struct {
	url    string
	header http.Header
	gzip   bool
	http   *http.Client

	last   chan struct{} // closed when failures are no longer retried
	life   context.Context
	cancel context.CancelFunc
}

func newClient(s Settings) *client {
	c := &client{url: s.URL, gzip: s.Gzip, header: http.Header{}, last: make(chan struct{})}
	c.life, c.cancel = context.WithCancel(context.Background())
	for name, value := range s.Headers {
		c.header.Set(name, value)
	}
	c.header.Set("Content-Type", "application/x-protobuf")
	if s.Gzip {
		c.header.Set("Content-Encoding", "gzip")
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	c.http = &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     s.TLS,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     90 * time.Second,
		},
		// The headers may hold a password: only the collector may get them.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Start implements otlptrace.Client.
func (*client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// lastAttempts ends the retries: each upload that fails from now on is given up.
func (c *client) lastAttempts() { close(c.last) }

// UploadTraces sends spans, and retries while that may help, until ctx ends. Its error is then the
// collector's last answer, if there was one.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	// TracesData has the same bytes as the service's request, whose package imports gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	if c.gzip {
		body = compress(body)
	}
	wait := firstRetry
	var refused error // of the last attempt that was retried
	for {
		again, after, err := c.post(ctx, body)
		if refused != nil && err != nil && ctx.Err() != nil {
			return refused
		}
		if err == nil || !again {
			return err
		}
		refused = err
		timer := time.NewTimer(max(after, wait/2+rand.N(wait/2)))
		select {
		case <-timer.C:
		case <-c.last:
			timer.Stop()
			return err
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		wait = min(2*wait, maxRetry)
	}
}

// post tries once. again says that the same may work later, after at least the given time.
func (c *client) post(ctx context.Context, body []byte) (again bool, after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	request.Header = c.header.Clone()
	response, err := c.http.Do(request)
	if err != nil {
		return ctx.Err() == nil, 0, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 == 2 {
		return false, 0, nil
	}
	err = fmt.Errorf("the collector answered %s", response.Status)
	switch response.StatusCode {
	// The specification's list: "OTLP/HTTP Response", "Failures".
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, retryafter.Wait(response.Header, time.Now()), err
	}
	return false, 0, err
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
