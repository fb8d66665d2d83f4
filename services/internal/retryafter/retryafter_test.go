package retryafter

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"7":                              7 * time.Second,
		" 7 ":                            7 * time.Second,
		"3600":                           time.Hour,
		strings.Repeat("9", 400):         longest,
		"-7":                             0,
		"+7":                             0,
		"7.5":                            0,
		"7s":                             0,
		"soon":                           0,
		"Sun, 29 Nov 2026 12:00:20 GMT":  20 * time.Second,
		"Sunday, 29-Nov-26 12:00:20 GMT": 20 * time.Second, // the obsolete forms, which
		"Sun Nov 29 12:00:20 2026":       20 * time.Second, // recipients must read, too
		"Sun, 29 Nov 2026 11:00:00 GMT":  0,
		"Sun, 29 Nov 9026 12:00:00 GMT":  longest,
		"Sun, 31 Feb 2026 12:00:00 GMT":  0,
		"2026-11-29T12:00:20Z":           0,
	} {
		if got := Wait(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if got := Wait(nil, now); got != 0 {
		t.Errorf("no header: %s", got)
	}
}
