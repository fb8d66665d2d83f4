package jsonb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendCanonical appends a form of a JSON value that two values share exactly if PostgreSQL's
// jsonb calls them equal: members are sorted, strings are unescaped, and numbers are decimals,
// which no float has rounded (jsonb: 1 = 1.0 = 1e0, and -0 = 0). Each part begins with its kind and
// its length, so that no two different values share a form.
func AppendCanonical(dst []byte, value jsontext.Value) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	dst, err := canonicalNext(dst, dec)
	if err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	return dst, nil
}

func canonicalNext(dst []byte, dec *jsontext.Decoder) ([]byte, error) {
	switch dec.PeekKind() {
	case '{':
		return canonicalObject(dst, dec)
	case '[':
		return canonicalArray(dst, dec)
	case '0':
		literal, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		return canonicalNumber(append(dst, 'n'), literal), nil
	}
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if kind := token.Kind(); kind != '"' {
		return append(dst, bytes.ToUpper([]byte{byte(kind)})...), nil // T, F, N; n is a number's
	}
	return appendCounted(append(dst, 's'), token.String()), nil
}

func canonicalObject(dst []byte, dec *jsontext.Decoder) ([]byte, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	type member struct {
		name  string
		value []byte
	}
	var members []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if m.value, err = canonicalNext(nil, dec); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	dst = appendCount(append(dst, 'o'), len(members))
	for _, m := range members {
		dst = append(appendCounted(dst, m.name), m.value...)
	}
	_, err := dec.ReadToken()
	return dst, err
}

func canonicalArray(dst []byte, dec *jsontext.Decoder) ([]byte, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	elements, n := []byte(nil), 0
	for ; dec.PeekKind() != ']'; n++ {
		var err error
		if elements, err = canonicalNext(elements, dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return append(appendCount(append(dst, 'a'), n), elements...), err
}

// canonicalNumber appends a valid JSON number as its sign, its digits from the first to the last
// that is not 0, and the exponent of the last one: -1.50e3 is -15e2, and zero is 0e0.
func canonicalNumber(dst, literal []byte) []byte {
	unsigned, negative := bytes.CutPrefix(literal, []byte("-"))
	last, exponent, _ := Decimal(unsigned) // checkNumber has bounded it
	if len(last) == 0 {
		return appendCounted(dst, "0e0")
	}
	number := make([]byte, 0, len(last)+8)
	if negative {
		number = append(number, '-')
	}
	number = append(append(number, last...), 'e')
	return appendCounted(dst, strconv.AppendInt(number, int64(exponent), 10))
}

// Decimal parses a JSON number without a sign: its digits from the first to the last that is not 0,
// none for zero, and the exponent of the last one.
func Decimal(number []byte) (digits []byte, exponent int, err error) {
	if at := bytes.IndexAny(number, "eE"); at >= 0 {
		exponent, err = strconv.Atoi(string(number[at+1:]))
		number = number[:at]
	}
	before, after, _ := bytes.Cut(number, []byte("."))
	all := slices.Concat(before, after)
	digits = bytes.TrimRight(all, "0")
	exponent += len(all) - len(digits) - len(after)
	return bytes.TrimLeft(digits, "0"), exponent, err
}

func appendCount(dst []byte, n int) []byte { return binary.BigEndian.AppendUint64(dst, uint64(n)) } //nolint:gosec // a length

func appendCounted[T string | []byte](dst []byte, s T) []byte {
	return append(appendCount(dst, len(s)), s...)
}
