package event

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// sessionID reads a session's number, false where it is none from 1 to 2^63-1. Beside a whole number it is, as for the
// Python service, whose pydantic reads it so, a string of digits, and a number that is whole however it is written (123.0, 1e3).
func sessionID(raw []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case err == nil:
	case raw[0] == '"':
		n, err = digits(raw)
	case jsontext.Value(raw).Kind() == '0':
		n, err = whole(raw)
	}
	return n, err == nil && n > 0
}

// digits reads a JSON string.
func digits(raw []byte) (int64, error) {
	plain, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(plain), 10, 63) // which takes no sign
	return int64(n), err
}

// whole reads a JSON number to its last digit, which a float would not.
func whole(raw []byte) (int64, error) {
	digits, exponent, err := decimal(raw)
	if err != nil || exponent < 0 || exponent > 18 { // a fraction; or, with a digit before, more than 63 bits
		return 0, strconv.ErrRange
	}
	n, err := strconv.ParseUint(string(digits)+strings.Repeat("0", exponent), 10, 63)
	return int64(n), err
}
