package app_test

import (
	"bytes"
	"log/slog"
	"sync"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// logged lets the services log to a buffer, as their settings say.
func (s *stack) logged(settings ...string) *logBuffer {
	s.t.Helper()
	s.environ = append(s.environ, settings...)
	var b logBuffer
	cfg := s.config(config.ForProducer)
	s.log = telemetry.NewLogger(&b, slog.Level(cfg.Service.LogLevel), cfg.Service.Environment, "test")
	return &b
}
