package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/transport"
	"github.com/trailpost/trailpost/services/internal/linger"
	"github.com/trailpost/trailpost/services/internal/tlsfiles"
)

// lingerAtEnd is how long refused clients may still send when all others are done.
const lingerAtEnd = 500 * time.Millisecond

// Server serves a handler with limits on everything that a client can make last.
type Server struct {
	http     *http.Server
	listener *linger.Listener
}

// NewServer listens, and serves [NewHandler]'s routes; nothing is answered before Serve. An error
// says that the address is taken or the certificate can't be used.
func NewServer(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	server := &http.Server{
		ReadHeaderTimeout: min(5*time.Second, cfg.ReadTimeout), // and up to transport.MaxJitter more, as all read deadlines
		ReadTimeout:       cfg.ReadTimeout,                     // the handlers extend it for large bodies
		// From the headers to the answer's last byte: the slowest body, the broker, and a slow
		// reader of the answer.
		WriteTimeout: cfg.ReadTimeout + (event.MaxBatchBytes/bodyRate)*time.Second +
			cfg.RequestTimeout + 15*time.Second + transport.MaxJitter,
		IdleTimeout:    cfg.IdleTimeout,
		MaxHeaderBytes: 16 << 10,
		ConnContext:    transport.WithConn,
		ConnState:      transport.KeepIdle,
		ErrorLog:       slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // clients' faults
	}
	if cfg.CertFile != "" {
		pair := tlsfiles.NewPair(cfg.CertFile, cfg.KeyFile)
		if _, err := pair.Get(); err != nil {
			return nil, fmt.Errorf("load the server's certificate: %w", err)
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.Server}
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for events: %w", err)
	}
	server.Handler = NewHandler(cfg)
	return &Server{http: server, listener: linger.Listen(listener, cfg.Linger, cfg.Metrics.unread)}, nil
}

// Addr returns the address that it listens on, with the port that was taken for 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until Shutdown begins, and returns nil then.
func (s *Server) Serve() error {
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(transport.Jittered(s.listener)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve events: %w", err)
	}
	return nil
}

// Shutdown stops listening and waits for the requests in flight until ctx ends; it then cuts them
// off and returns ctx's error. The publisher must stay open until Shutdown has returned: requests
// in flight wait for their confirms. Clients that were refused and still send have lingerAtEnd
// more.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.listener.Close() // http.Server knows it only after Serve
	defer s.listener.End(ctx, lingerAtEnd)
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return err
	}
	return nil
}
