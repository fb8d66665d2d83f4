//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// hop is what capture saw of a port, on all nodes.
type hop struct{ Segments, Bytes, Found int }

// capture looks at all packets of the nodes, those of pods included, for a text while something happens, by port.
func capture(t *testing.T, text string, ports []string, while func()) map[string]hop {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "capture")
	if _, _, err := commandIn(t.Context(), machine.root, "env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH,
		"go", "build", "-o", binary, "./test/e2e/capture"); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	const there = "/var/tmp/trailpost-capture"
	type running struct {
		stdin  *io.PipeWriter
		stdout *bufio.Reader
		done   chan error
		stderr *bytes.Buffer
	}
	var all []running
	for _, node := range machine.cluster.nodes {
		place := node.CommandContext(t.Context(), "sh", "-c", "rm -f "+there+" && cat >"+there+" && chmod 700 "+there)
		if err := place.SetStdin(bytes.NewReader(program)).Run(); err != nil {
			t.Fatalf("node %s: %v", node, err)
		}
		in, stdin := io.Pipe()
		stdout, out := io.Pipe()
		one := running{stdin: stdin, stdout: bufio.NewReader(stdout), done: make(chan error, 1), stderr: &bytes.Buffer{}}
		cmd := node.CommandContext(t.Context(), there, append([]string{text}, ports...)...).SetStdin(in).SetStdout(out).SetStderr(one.stderr)
		go func() {
			err := cmd.Run()
			one.done <- err
			_ = out.CloseWithError(io.EOF)
		}()
		t.Cleanup(func() { _ = stdin.Close() })
		if line, err := one.stdout.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
			t.Fatalf("capture on node %s: %q, %v: %s", node, line, err, one.stderr)
		}
		all = append(all, one)
	}
	while()
	sum := map[string]hop{}
	for _, one := range all {
		_ = one.stdin.Close()
		text, err := io.ReadAll(one.stdout)
		if err == nil {
			err = <-one.done
		}
		if err != nil {
			t.Fatalf("capture: %v: %s", err, one.stderr)
		}
		var seen map[string]hop
		if err := json.Unmarshal(text, &seen); err != nil {
			t.Fatalf("capture said %q: %v", text, err)
		}
		for port, h := range seen {
			s := sum[port]
			sum[port] = hop{s.Segments + h.Segments, s.Bytes + h.Bytes, s.Found + h.Found}
		}
	}
	return sum
}
