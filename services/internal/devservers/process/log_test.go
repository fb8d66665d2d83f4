package process

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLastLines(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{{"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 9, "a\nb\nc\n"}, {"a\n\n\n", 1, "a\n"}} {
		if got := lastLines(test.text, test.n); got != test.want {
			t.Errorf("%q, %d: %q", test.text, test.n, got)
		}
	}
}

func TestLogSince(t *testing.T) {
	name := filepath.Join(t.TempDir(), "server.log")
	p := &Process{Logs: []string{name}}
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n")
	mark := p.Mark()
	if got := p.Since(mark, 10); got != "" {
		t.Errorf("nothing was logged: %q", got)
	}
	write("before\nafter\n")
	if got := p.Since(mark, 10); got != "server.log:\nafter\n" {
		t.Errorf("%q", got)
	}
	write("new\n") // rotated
	if got := p.Since(mark, 10); got != "server.log:\nnew\n" {
		t.Errorf("after a rotation: %q", got)
	}
}
