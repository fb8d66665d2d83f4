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
	"github.com/trailpost/trailpost/services/internal/linger"
)

// ServerConfig is what a Server needs.
type ServerConfig struct {
	Addr     string // host:port; port 0 takes a free one
	CertFile string // PEM files; both or neither. With them it speaks HTTPS.
	KeyFile  string
	Log      *slog.Logger
	Metrics  *Metrics // nil: nobody counts

	Linger linger.Limits // for who is refused and still sends; zero: linger.Defaults

	ReadTimeout    time.Duration // as in Config
	RequestTimeout time.Duration // as in Config
	IdleTimeout    time.Duration // of a connection between two requests; 0: DefaultIdleTimeout
}

// DefaultIdleTimeout is longer than load balancers keep connections (nginx 60 s, ALB 60 s, Google's 600 s, of which the last is fixed): of
// the two the client must be the first to end one, or it may send a request that nobody reads.
const DefaultIdleTimeout = 650 * time.Second

// lingerAtEnd is how long refused clients may still send when all others are done.
const lingerAtEnd = 500 * time.Millisecond

// Server serves a handler with limits on everything that a client can make last.
type Server struct {
	http     *http.Server
	listener *linger.Listener
}

// NewServer listens; nothing is answered before Serve. An error says that the
// address is taken or the certificate can't be used.
func NewServer(cfg ServerConfig, handler http.Handler) (*Server, error) {
	read := orDefault(cfg.ReadTimeout, DefaultReadTimeout)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: min(5*time.Second, read), // more by chance, as all read deadlines: jitterListener
		ReadTimeout:       read,                     // the handlers extend it for large bodies
		// From the headers to the answer's last byte: the slowest body, the
		// broker, and a slow reader of the answer.
		WriteTimeout: read + (event.MaxBatchBytes/bodyRate)*time.Second +
			orDefault(cfg.RequestTimeout, DefaultRequestTimeout) + 15*time.Second + maxJitter,
		IdleTimeout:    orDefault(cfg.IdleTimeout, DefaultIdleTimeout),
		MaxHeaderBytes: 16 << 10,
		ConnContext:    withConn,
		ConnState:      keepIdle,
		ErrorLog:       slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // clients' faults
	}
	if cfg.CertFile != "" {
		certificate, err := newCertificate(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load the server's certificate: %w", err)
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for events: %w", err)
	}
	if cfg.Linger == (linger.Limits{}) {
		cfg.Linger = linger.Defaults
	}
	return &Server{http: server, listener: linger.Listen(listener, cfg.Linger, cfg.Metrics.unread())}, nil
}

// Addr is the address that it listens on, which tells the port that 0 became.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until Shutdown begins, and returns nil then.
func (s *Server) Serve() error {
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(jitterListener{s.listener}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve events: %w", err)
	}
	return nil
}

// Shutdown stops listening and waits for the requests in hand, until ctx ends;
// it then cuts them off and returns ctx's error. The publisher must stay open
// until Shutdown has returned: requests in hand wait for their confirms. Who was
// refused and still sends has half a second more.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.listener.Close() // http.Server knows it only after Serve
	defer s.listener.End(ctx, lingerAtEnd)
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return fmt.Errorf("stop serving events: %w", err)
	}
	return nil
}
