package telemetry

import (
	"io"
	"log/slog"
)

// LevelCritical is CRITICAL of Python's logging, which slog does not have.
const LevelCritical = slog.LevelError + 4

// NewLogger returns a logger that writes lines of JSON when environment is "production", of
// key=value otherwise. Each has the service's name, and its level under Python's name, so that
// filters that were written for the Python service keep working.
func NewLogger(w io.Writer, level slog.Level, environment, service string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: pythonLevel}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if environment == "production" {
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(handler).With("service", service)
}

// pythonLevel renames slog's WARN, and ERROR+4.
func pythonLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 || a.Key != slog.LevelKey {
		return a
	}
	switch level, _ := a.Value.Any().(slog.Level); level {
	case slog.LevelWarn:
		a.Value = slog.StringValue("WARNING")
	case LevelCritical:
		a.Value = slog.StringValue("CRITICAL")
	}
	return a
}
