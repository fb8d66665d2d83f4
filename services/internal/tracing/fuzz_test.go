package tracing

import "testing"

// FuzzParseTraceParent: what is read is written as it was, but for flags that
// nobody knows.
func FuzzParseTraceParent(f *testing.F) {
	for _, seed := range []string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
		"00-00000000000000000000000000000000-0000000000000000-00",
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fd",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sc := ParseTraceParent(s)
		if !sc.IsValid() {
			return
		}
		written := TraceParent(sc)
		if len(s) != traceParentSize || written[3:52] != s[3:52] {
			t.Fatalf("%q was written as %q", s, written)
		}
		if again := ParseTraceParent(written); !again.Equal(sc) {
			t.Fatalf("%q was read as %v, and %q as %v", s, sc, written, again)
		}
	})
}
