// Package retryafter reads the header Retry-After of answers (RFC 9110, 10.2.3), which has two
// forms: servers send seconds, and some proxies a date.
package retryafter

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// longest is more than anybody waits, and far from overflow.
const longest = 365 * 24 * time.Hour

// Wait returns how long an answer that came at now asks to wait, never negative: 0 without the
// header, for a date that has passed, and for a value that is neither a number of seconds nor a
// date. The caller decides how much of it is too long.
func Wait(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if date, err := http.ParseTime(value); err == nil {
		return min(max(0, date.Sub(now)), longest)
	}
	seconds := 0.0 // of as many digits as there are
	for _, digit := range []byte(value) {
		if digit < '0' || digit > '9' {
			return 0
		}
		seconds = seconds*10 + float64(digit-'0')
	}
	return time.Duration(math.Min(seconds, longest.Seconds())) * time.Second
}
