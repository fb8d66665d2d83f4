package values

import (
	"strings"
	"testing"
)

// FuzzValues: sizes and times are what is written, or refused; never negative by
// overflow.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"0", "64MiB", "9223372036854775807", "9007199254740993KiB", "1e3", "0x10", "1d12h", "106751d", "106751d24h", "NaN", "Inf", "-1d", "1e400s", "d", "5", "0.5", "+1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var size ByteSize
		if err := size.UnmarshalText([]byte(s)); err == nil && size < 0 {
			t.Fatalf("%q is %d bytes", s, size)
		}
		if d, err := ParseDuration(s); err == nil && (d < 0) != strings.HasPrefix(strings.TrimSpace(s), "-") && d != 0 {
			t.Fatalf("%q is %s", s, d)
		}
		if d, err := parseDuration(s); err == nil {
			if again, err := parseDuration(d.String()); err != nil || again != d {
				t.Fatalf("%q is %s, which is %s, %v", s, d, again, err)
			}
		}
	})
}
