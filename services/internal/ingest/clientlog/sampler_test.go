package clientlog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSampler(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)
	s := NewSampler(func() time.Time { return now })
	expect := func(key string, wantOK bool, wantMore int) {
		t.Helper()
		if more, ok := s.Allow(key, time.Hour); ok != wantOK || more != wantMore {
			t.Errorf("%s: %v and %d more, want %v and %d", key, ok, more, wantOK, wantMore)
		}
	}
	expect("a", true, 0)
	expect("a", false, 0)
	expect("a", false, 0)
	expect("b", true, 2)
	now = now.Add(time.Hour)
	expect("a", true, 0)

	for i := range 10_000 {
		s.Allow(fmt.Sprint(i), time.Hour)
	}
	expect("c", false, 0) // enough for this minute
	now = now.Add(time.Minute)
	expect("c", true, 10_000-(LinesAMinute-1)+1)
	for range 1000 {
		now = now.Add(time.Minute)
		for i := range LinesAMinute {
			s.Allow(fmt.Sprint(now, i), time.Hour)
		}
	}
	if s.last.Len() > maxKeys {
		t.Errorf("remembers %d keys", s.last.Len())
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                  "plain",
		"日本語":                    "日本語",
		"a\nb\x1b[2J":            `a\nb\x1b[2J`,
		"\u202eevil":             `\u202eevil`,
		strings.Repeat("é", 100): strings.Repeat("é", 100),
		strings.Repeat("é", 101): strings.Repeat("é", 100) + "…",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
