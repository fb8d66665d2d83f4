package engine

import (
	"fmt"
	"os/exec"
	"strings"
)

// Run runs a command and returns its output; an error holds what it said.
func Run(cmd *exec.Cmd, input string) ([]byte, error) {
	var out, problem strings.Builder
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(problem.String() + "\n" + out.String())
		return []byte(out.String()), fmt.Errorf("%w: %s", err, said)
	}
	return []byte(out.String()), nil
}

// Quote makes one word of shell out of any text.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
