package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// Probe is the JSON answer to a probe.
type Probe struct {
	Status string `json:"status"`           // "alive", "ready" or "not ready"
	Reason string `json:"reason,omitempty"` // why not
}

// ProbeServer answers a kubelet and a Prometheus server on a port of its own:
//
//	/livez    200 while the process can answer. It asks no other server: a
//	          database that is away must not restart a healthy process.
//	/readyz   200, or 503 with the reason
//	/metrics  Prometheus
type ProbeServer struct {
	http     *http.Server
	listener *linger.Listener
}

// NewProbeServer listens on addr; an error comes from the listener. Nothing is answered before
// Serve. The function ready is called for each probe, from many goroutines, and should answer from
// memory, nil meaning ready.
func NewProbeServer(addr string, ready func() error, gatherer prometheus.Gatherer, log *slog.Logger) (*ProbeServer, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for probes: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeProbe(w, http.StatusOK, Probe{Status: "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			writeProbe(w, http.StatusServiceUnavailable, Probe{Status: "not ready", Reason: err.Error()})
			return
		}
		writeProbe(w, http.StatusOK, Probe{Status: "ready"})
	})
	mux.Handle("GET /metrics", MetricsHandler(gatherer, log))
	return &ProbeServer{
		http: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       5 * time.Second,
			WriteTimeout:      15 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		listener: linger.Listen(listener, linger.Defaults, nil),
	}, nil
}

// Addr returns the address that it listens on, with the actual port where 0 was asked for.
func (s *ProbeServer) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until Shutdown, and returns nil after it.
func (s *ProbeServer) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve probes: %w", err)
	}
	return nil
}

// Shutdown stops listening and waits for answers in progress, until ctx ends; it then cuts them off
// and returns ctx's error.
func (s *ProbeServer) Shutdown(ctx context.Context) error {
	defer s.listener.Close() // http.Server knows it only after Serve
	defer s.listener.End(ctx, 0)
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return err
	}
	return nil
}

func writeProbe(w http.ResponseWriter, status int, answer Probe) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error is about the client's connection: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(answer)
}
