package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelInfo, "production", "producer")
	log.Debug("too quiet")
	log.Warn("careful", "level", "an attribute of that name", slog.Group("g", "level", slog.LevelWarn))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if !strings.Contains(out.String(), `"level":"WARNING","msg":"careful","service":"producer"`) {
		t.Errorf("got %s", out.String())
	}

	out.Reset()
	log = NewLogger(&out, LevelCritical, "development", "consumer")
	log.Error("not shown")
	log.Log(context.Background(), LevelCritical, "the end")
	if got := out.String(); !strings.HasSuffix(got, "level=CRITICAL msg=\"the end\" service=consumer\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %s", got)
	}
}

func TestReadBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v0.0.0-2026"},
		Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"}},
	}
	for _, c := range []struct {
		linked            string
		info              *debug.BuildInfo
		version, revision string
	}{
		{"v1.2.3", info, "v1.2.3", "abc-dirty"},
		{"", info, "v0.0.0-2026", "abc-dirty"},
		{"", nil, "unknown", "unknown"},
	} {
		if got := readBuild(Build{Version: c.linked}, c.info); got.Version != c.version || got.Revision != c.revision || got.GoVersion == "" {
			t.Errorf("%q and %v gave %+v", c.linked, c.info, got)
		}
	}
	if got := readBuild(Build{Revision: "def"}, info); got.Revision != "def" {
		t.Errorf("the linked revision is def: %+v", got)
	}
}

func TestRegistry(t *testing.T) {
	registry := NewRegistry()
	for _, name := range []string{"trailpost_build_info", "go_goroutines", "process_open_fds"} {
		if n, err := testutil.GatherAndCount(registry, name); err != nil || n != 1 {
			t.Errorf("%s: %d series, %v", name, n, err)
		}
	}
	if problems, err := testutil.GatherAndLint(registry, "trailpost_build_info"); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// failing is a collector that can't collect.
type failing struct{}

func (failing) Describe(chan<- *prometheus.Desc) {}
func (failing) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("trailpost_broken", "Broken.", nil, nil), errors.New("no answer"))
}

func TestProbeServer(t *testing.T) {
	var logged bytes.Buffer
	var ready atomic.Pointer[error]
	notYet := errors.New("the database is away")
	ready.Store(&notYet)

	registry := NewRegistry()
	registry.MustRegister(failing{})
	s, err := NewProbeServer("127.0.0.1:0", func() error { return *ready.Load() }, registry, NewLogger(&logged, slog.LevelInfo, "", "test"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()

	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	check := func(path string, wantStatus int, wantBody string) {
		t.Helper()
		if status, body := get(path); status != wantStatus || !strings.Contains(body, wantBody) {
			t.Errorf("%s: %d %s, want %d %s", path, status, body, wantStatus, wantBody)
		}
	}
	check("/livez", 200, `{"status":"alive"}`)
	check("/readyz", 503, `{"status":"not ready","reason":"the database is away"}`)
	var none error
	ready.Store(&none)
	check("/readyz", 200, `{"status":"ready"}`)
	check("/metrics", 200, "trailpost_build_info{") // although one collector fails
	check("/other", 404, "")

	if _, err := NewProbeServer(s.Addr().String(), nil, registry, slog.Default()); err == nil {
		t.Error("two servers on one port")
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "no answer") {
		t.Errorf("the failed collector is not in the log: %s", logged.String())
	}
}

// Events that are sent to the wrong port are refused so that it can be read.
func TestProbesRefuseBodies(t *testing.T) {
	s, err := NewProbeServer("127.0.0.1:0", nil, NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	for path, want := range map[string]int{"/log": http.StatusNotFound, "/metrics": http.StatusMethodNotAllowed} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const size = 8_000_000 // more than the sockets' buffers
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, size, strings.Repeat(" ", size)); err != nil {
			t.Error(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", path, res.Status)
		}
		conn.Close()
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	s, err := NewProbeServer("127.0.0.1:0", nil, NewRegistry(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(); err != nil {
		t.Error(err)
	}
	again, err := NewProbeServer(addr, nil, NewRegistry(), slog.Default())
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	if err := again.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
