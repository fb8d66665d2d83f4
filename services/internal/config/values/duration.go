package values

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as it is written in a variable: seconds, a Go duration, or days
// ("400d", "1d12h").
func ParseDuration(text string) (time.Duration, error) {
	d, err := parseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 400d or 36h", text)
	}
	return d, nil
}

// parseDuration reads seconds ("5", "0.5"), a Go duration, or days with or without a Go duration
// after them ("30d", "1d12h").
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if d, err := scale(s, time.Second); err == nil {
		return d, nil
	}
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	d, err := scale(days, 24*time.Hour)
	if err != nil || rest == "" {
		return d, err
	}
	r, err := time.ParseDuration(rest)
	if err != nil || r < 0 || d > math.MaxInt64-r {
		return 0, errSyntax
	}
	return d + r, nil
}

// scale reads a plain decimal number of units.
func scale(number string, unit time.Duration) (time.Duration, error) {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	if v := f * float64(unit); math.Abs(v) < math.MaxInt64 { // false for NaN, too
		return time.Duration(math.Round(v)), nil
	}
	return 0, errSyntax
}
