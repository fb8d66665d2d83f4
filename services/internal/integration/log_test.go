package integration

import (
	"log/slog"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

// logged lets the services log to a buffer, as their settings say.
func (s *stack) logged(settings ...string) *logs.Buffer {
	s.t.Helper()
	s.environ = append(s.environ, settings...)
	var b logs.Buffer
	cfg := s.config(config.ForProducer)
	s.log = telemetry.NewLogger(&b, slog.Level(cfg.Service.LogLevel), cfg.Service.Environment, "test")
	return &b
}
