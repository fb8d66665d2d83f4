package jsonb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
)

// MaxDepth is how deep values may be nested; {} alone is 1.
const MaxDepth = 64

// Faults of JSON that PostgreSQL's jsonb refuses, or can't give back.
var (
	errNUL       = errors.New(`must not contain \u0000`)
	errSurrogate = errors.New("must not contain a lone surrogate")
	ErrDepth     = fmt.Errorf("must not be nested deeper than %d", MaxDepth)
	errNumber    = errors.New("must not contain a number outside float64's range")
	errDigits    = fmt.Errorf("must not contain a number with more than %d decimal places", maxScale)
)

// Bounds of a number. numeric, which jsonb stores, holds 16,383 digits after the point
// (NUMERIC_MAX_DISPLAY_SCALE); other readers of the trail have float64.
const (
	maxScale    = 16_383
	maxExponent = 1_000
)

// Check checks one valid JSON value against jsonb's rules, and turns the line breaks between its
// tokens into spaces, in place: each line of a message is an event.
func Check(value []byte) error {
	depth := 0
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case c == '"':
			end, err := CheckString(value, i)
			if err != nil {
				return err
			}
			i = end
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return ErrDepth
			}
			i++
		case c == '}' || c == ']':
			depth--
			i++
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(value) && isNumberByte(value[end]) {
				end++
			}
			if err := checkNumber(value[i:end]); err != nil {
				return err
			}
			i = end
		default:
			if c == '\n' || c == '\r' {
				value[i] = ' '
			}
			i++
		}
	}
	return nil
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

// CheckString returns the index after the string that starts at value[start].
func CheckString(value []byte, start int) (int, error) {
	i := start + 1
	for i < len(value) {
		switch value[i] {
		case '"':
			return i + 1, nil
		case '\\':
			if i+1 < len(value) && value[i+1] != 'u' {
				i += 2
				continue
			}
			r, ok := hex4(value, i)
			if !ok {
				return len(value), nil // not valid JSON, which the decoder refuses
			}
			i += 6
			switch {
			case r == 0:
				return i, errNUL
			case utf16.IsSurrogate(r):
				low, ok := hex4(value, i)
				if !ok || utf16.DecodeRune(r, low) == '\uFFFD' {
					return i, errSurrogate
				}
				i += 6
			}
		default:
			i++
		}
	}
	return i, nil
}

// hex4 reads the \uXXXX at value[i:].
func hex4(value []byte, i int) (rune, bool) {
	if i+6 > len(value) || value[i] != '\\' || value[i+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(value[i+2:i+6]), 16, 16)
	return rune(n), err == nil
}

// checkNumber checks a valid JSON number against float64's range and numeric's scale.
func checkNumber(literal []byte) error {
	mantissa, exponent := literal, 0
	if at := bytes.IndexAny(literal, "eE"); at >= 0 {
		mantissa = literal[:at]
		n, err := strconv.Atoi(string(literal[at+1:]))
		if err != nil || n > maxExponent || n < -maxExponent {
			return errNumber
		}
		exponent = n
	} else if len(literal) <= 18 {
		return nil // too short for any bound
	}
	if point := bytes.IndexByte(mantissa, '.'); point >= 0 {
		if len(mantissa)-point-1-exponent > maxScale {
			return errDigits
		}
	} else if -exponent > maxScale {
		return errDigits
	}
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil || math.IsInf(f, 0) {
		return errNumber
	}
	if f == 0 && bytes.ContainsAny(mantissa, "123456789") {
		return errNumber
	}
	return nil
}

// TooDeep reports whether text that the decoder gave up on is nested too deeply for it, which is a
// limit and not a fault of syntax.
func TooDeep(text []byte) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > MaxDepth+1 {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
