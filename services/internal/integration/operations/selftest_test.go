package operations

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

func TestSelfTest(t *testing.T) {
	s := pipeline.New(t, "PRODUCER_API_KEYS_FILE="+keysFile(t))
	producer := s.Producer()
	cfg := s.Config(config.ForConsumer)

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := app.SelfTest(ctx, cfg, producer.URL, pipeline.TestKey); err == nil || !strings.Contains(err.Error(), "no row yet") {
		t.Errorf("without a consumer: %v", err)
	}
	if _, err := app.SelfTest(t.Context(), cfg, producer.URL, "tp_wrong"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong key: %v", err)
	}
	s.Consumer()
	id, err := app.SelfTest(t.Context(), cfg, producer.URL, pipeline.TestKey)
	if err != nil || s.Rows("event_id = $1", id.String()) != 1 {
		t.Error(id, err)
	}
	proxy := moodyProxy(t, producer.URL)
	id, err = app.SelfTest(t.Context(), cfg, proxy, pipeline.TestKey)
	if err != nil || s.Rows("event_id = $1", id.String()) != 1 {
		t.Errorf("behind a proxy that has its moments: %s, %v", id, err)
	}
}

// moodyProxy is before a producer, and says each of the things that proxies say for a moment.
func moodyProxy(t *testing.T, producer string) (url string) {
	t.Helper()
	target, err := neturl.Parse(producer)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	var requests atomic.Int32
	var until time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 1:
			w.WriteHeader(http.StatusBadGateway)
		case 2:
			until = time.Now().Add(3 * time.Second).Truncate(time.Second)
			w.Header().Set("Retry-After", until.UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusGatewayTimeout)
		default:
			if time.Now().Before(until) {
				t.Errorf("tried again %s too early", time.Until(until))
			}
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestWaitForSchema(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	s := pipeline.On(t, db, testbed.Rabbit(t))
	cfg := s.Config(config.ForConsumer)
	done := make(chan error, 1)
	log := s.Logged()
	go func() { done <- app.WaitForSchema(t.Context(), cfg, s.Log) }()
	pipeline.Eventually(t, "it says what it waits for", func() bool { return strings.Contains(log.String(), "schema") })
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if err := schema.Up(t.Context(), db.ConnConfig(db.Owner)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
