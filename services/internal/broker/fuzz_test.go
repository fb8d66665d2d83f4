package broker

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzLines: a group's lines are its body, in order, without what is between
// them, and no line can grow into the next.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "\n", "{}", "{}\n{}", "{}\r\n\r\n{}\r\n", " \t{} \n\v\n\u00a0\n\u0085{}", "a\rb\n", "\x00\n\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := Delivery{Body: slices.Clone(body)}
		lines, err := d.Lines()
		if err != nil {
			if len(body) <= maxParseBytes && bytes.Count(body, []byte("\n")) < maxGroupLines {
				t.Fatalf("%d bytes: %v", len(body), err)
			}
			return
		}
		rest := body
		for i, line := range lines {
			if len(line) == 0 || bytes.ContainsRune(line, '\n') || !bytes.Equal(line, bytes.Trim(line, space)) {
				t.Fatalf("line %d is %q", i, line)
			}
			at := bytes.Index(rest, line)
			if at < 0 || len(bytes.Trim(rest[:at], space)) > 0 {
				t.Fatalf("line %d, %q, is not next in %q", i, line, rest)
			}
			rest = rest[at+len(line):]
			_ = append(line, "overwritten"...)
		}
		if len(bytes.Trim(rest, space)) > 0 {
			t.Fatalf("%q is in no line", rest)
		}
		if !bytes.Equal(d.Body, body) {
			t.Fatal("a line grew into the next")
		}
	})
}
