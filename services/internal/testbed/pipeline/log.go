package pipeline

import (
	"log/slog"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

// Logged lets the services log to a buffer, as their settings say.
func (s *Pipeline) Logged(settings ...string) *logs.Buffer {
	s.T.Helper()
	s.Environ = append(s.Environ, settings...)
	var b logs.Buffer
	cfg := s.Config(config.ForProducer)
	s.Log = telemetry.NewLogger(&b, slog.Level(cfg.Service.LogLevel), cfg.Service.Environment, "test")
	return &b
}
