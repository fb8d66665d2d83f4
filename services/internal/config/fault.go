package config

import (
	"errors"
	"strings"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

// Fault is one wrong or missing setting.
type Fault struct {
	Name    string // the variable
	Problem string // "must be …"
	Got     string // the value as it was given, "" when absent or secret
}

// String is the fault's one line, "NAME: problem (got "value")".
func (f Fault) String() string {
	line := f.Name + ": " + f.Problem
	if f.Got != "" {
		line += " (got " + values.Quote(f.Got) + ")"
	}
	return line
}

// Error is everything that is wrong with the settings, in the order of [Config], and then the names that
// are no settings.
type Error struct{ Faults []Fault }

// Error has one line a fault and nothing else.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is what a main should exit with: 0 without an error, 2 if settings
// are wrong (the shell's code for misuse: a restart will not help), else 1.
func ExitCode(err error) int {
	var bad *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &bad):
		return 2
	default:
		return 1
	}
}
