package clientlog

import (
	"strconv"
	"strings"
	"unicode"
)

// maxShown is how many characters of a client's text are shown in the log or in an answer.
const maxShown = 100

// Printable makes a client's text fit for a log line: it is shortened, and what would not be
// visible is escaped.
func Printable(s string) string {
	s = Shorten(s)
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		return quoted[1 : len(quoted)-1]
	}
	return s
}

// Shorten cuts s after maxShown characters, and shows by an ellipsis that it did.
func Shorten(s string) string {
	if len(s) <= maxShown { // bytes, so characters
		return s
	}
	n := 0
	for i := range s {
		if n == maxShown {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
