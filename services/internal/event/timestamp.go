package event

import (
	"bytes"
	"errors"
	"strings"
	"time"
)

var (
	errTimestamp = errors.New("must be an ISO 8601 date and time such as 2026-11-24T10:00:00Z")
	errYear      = errors.New("must lie in the years 1 to 9999")
)

// AppendTime appends t, which must be UTC and of the years 1 to 9999, as RFC 3339 with microseconds
// and the given zone: Z, or what Python's datetime.isoformat writes for it. It is written by hand
// since every event has three times, and AppendFormat has a fast path for RFC 3339 alone.
func AppendTime(dst []byte, t time.Time, zone string) []byte {
	dst = t.AppendFormat(dst, time.RFC3339)
	dst = append(dst[:len(dst)-1], '.')
	fraction := t.Nanosecond() / int(time.Microsecond)
	for unit := 100_000; unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(fraction/unit%10)) //nolint:gosec // a digit
	}
	return append(dst, zone...)
}

// pythonUTC is the zone that datetime.fromisoformat of every version of Python reads back.
const pythonUTC = "+00:00"

// The forms of ISO 8601 that are accepted. Go reads a fraction of a second after any of them, with
// a point or a comma.
var timeForms = []string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05Z07",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04",
}

// parseTimestamp reads an ISO 8601 time. One without a zone is UTC. It is cut to whole
// microseconds, since PostgreSQL holds no more.
func parseTimestamp(text []byte) (t time.Time, err error) {
	if len(text) > 64 || len(text) < len("2006-01-02T15:04") || !isZone(text) {
		return time.Time{}, errTimestamp
	}
	if t.UnmarshalText(text) != nil { // RFC 3339 to the letter, as nearly all are
		if t, err = parseTimeForms(string(text)); err != nil {
			return time.Time{}, err
		}
	}
	t = micros(t)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, errYear
	}
	return t, nil
}

func parseTimeForms(s string) (time.Time, error) {
	// RFC 3339 allows a space and small letters here.
	if s[10] == ' ' || s[10] == 't' || s[len(s)-1] == 'z' {
		s = s[:10] + "T" + strings.ToUpper(s[11:])
	}
	const second, hour = len("2006-01-02T15:04"), len("2006-01-02T")
	switch {
	case s[hour:second] == "24:00": // the end of a day
		t, err := parseForm(s[:hour] + "00:00" + s[second:])
		if err != nil || t.Second() != 0 || t.Nanosecond() != 0 {
			return time.Time{}, errTimestamp
		}
		return t.AddDate(0, 0, 1), nil
	case strings.HasPrefix(s[second:], ":60"): // a leap second, which comes at the end of a day in UTC
		t, err := parseForm(s[:second] + ":59" + s[second+3:])
		if h, m, _ := t.UTC().Clock(); err != nil || h != 23 || m != 59 {
			return time.Time{}, errTimestamp
		}
		return t.Add(time.Second), nil
	}
	return parseForm(s)
}

// isZone reports whether a zone, if the text has one, is less than a day from UTC, and has less
// than 60 minutes: package time reads +24:00 and +05:60, too.
func isZone(text []byte) bool {
	at := bytes.LastIndexAny(text, "+-")
	if at < len("2006-01-02T15:04") {
		return true
	}
	hours, minutes := text[at+1:], []byte(nil)
	if len(hours) > 2 {
		hours, minutes = hours[:2], bytes.TrimPrefix(hours[2:], []byte(":"))
	}
	return string(hours) <= "23" && string(minutes) <= "59"
}

func parseForm(s string) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errTimestamp
}

// micros returns t in UTC, cut to whole microseconds.
func micros(t time.Time) time.Time {
	return t.UTC().Truncate(time.Microsecond)
}
