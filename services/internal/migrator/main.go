package migrator

import (
	"slices"
	"strings"

	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
)

// Main is the command migrate: it reads the process's arguments and environment, and returns the
// exit code.
func Main() int { return cli.Run(command(), message) }

// message is what a person sees: a line for each wrong setting, one line for anything else. (pgx
// has a line for every attempt to connect, and two of them for one address that it tries with TLS
// and without.)
func message(err error) string {
	if config.ExitCode(err) == 2 {
		return err.Error()
	}
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(parts, line) {
			parts = append(parts, line)
		}
	}
	return "migrate: " + strings.Join(parts, " ")
}
