package values

import (
	"log/slog"
	"strings"
)

// LogLevel is a level of log/slog, written with the names of Python's logging.
type LogLevel slog.Level

// levelCritical is the level CRITICAL of Python, which slog does not have.
const levelCritical = slog.LevelError + 4

var levels = map[string]slog.Level{
	"DEBUG":    slog.LevelDebug,
	"INFO":     slog.LevelInfo,
	"WARNING":  slog.LevelWarn,
	"WARN":     slog.LevelWarn,
	"ERROR":    slog.LevelError,
	"CRITICAL": levelCritical,
}

// Level makes LogLevel a slog.Leveler.
func (l LogLevel) Level() slog.Level { return slog.Level(l) }

// UnmarshalText reads a name in any case.
func (l *LogLevel) UnmarshalText(text []byte) error {
	level, ok := levels[strings.ToUpper(strings.TrimSpace(string(text)))]
	if !ok {
		return errSyntax
	}
	*l = LogLevel(level)
	return nil
}
