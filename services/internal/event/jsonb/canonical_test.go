package jsonb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

func canonical(t *testing.T, text string) []byte {
	t.Helper()
	form, err := AppendCanonical(nil, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return form
}

// Two payloads have one canonical form exactly if PostgreSQL's jsonb calls them equal.
func TestCanonicalFormIsJsonbEquality(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	conn := db.Connect(t, db.Owner)
	var left, right []string
	add := func(a, b string) { left, right = append(left, a), append(right, b) }
	for _, group := range [][]string{
		{"0", "-0", "0.0", "-0.000", "0e5", "-0E-7"},
		{"1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000000000000000000000000000000000"},
		{"-15e2", "-1500", "-1500.00", "-1.5e3"}, {"-1.5e2"}, {"1500"},
		{"9007199254740993", "9007199254740993.0"}, {"9007199254740992"}, // one float64
		{"0.1", "1e-1", "0.10"}, {"0.1000000000000000055511151231257827"},
		{"1e308"}, {"1e307"}, {"1e-300", "0.1e-299"},
		{`"a"`, `"\u0061"`}, {`"é"`, `"\u00e9"`}, {`"e\u0301"`}, {`"\/"`, `"/"`}, {`"\ud83d\ude00"`, `"😀"`}, {`""`}, {`"1"`}, {`"n"`},
		{"true"}, {"false"}, {"null"}, {"[]"}, {"{}"}, {"[[]]"}, {"[{}]"}, {"[null]"}, {"[1,2]"}, {"[2,1]"}, {"[[1],2]"}, {"[[1,2]]"},
		{`{"a":1,"b":2}`, `{"b":2.0,"\u0061":1}`}, {`{"a":{"b":2}}`}, {`{"aa":1,"b":2}`, ` { "b" : 2 , "aa" : 1e0 } `}, {`{"":0}`}, {`{"a":null}`},
	} {
		left, right = append(left, group...), append(right, group...)
	}
	all := slices.Clone(left)
	left, right = nil, nil
	for _, a := range all {
		for _, b := range all {
			add(`{"x":`+a+`}`, `{"x":`+b+`}`)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		v := anyValue(random, 4)
		other := v
		if random.IntN(2) == 0 {
			other = v.changed(random)
		}
		add(`{"x":`+v.text(random)+`}`, `{"x":`+other.text(random)+`}`)
	}

	rows, err := conn.Query(t.Context(), `SELECT n, a::jsonb = b::jsonb FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS pair (a, b, n)`, left, right)
	if err != nil {
		t.Fatal(err)
	}
	equal := 0
	for rows.Next() {
		var n int
		var want bool
		if err := rows.Scan(&n, &want); err != nil {
			t.Fatal(err)
		}
		if want {
			equal++
		}
		a, b := left[n-1], right[n-1]
		if got := bytes.Equal(canonical(t, a), canonical(t, b)); got != want {
			t.Errorf("jsonb says %t:\n%s\n%s\n%q\n%q", want, a, b, canonical(t, a), canonical(t, b))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if equal < 1000 || len(left)-equal < 1000 {
		t.Errorf("%d of %d pairs are equal: they prove little", equal, len(left))
	}
}

// value is a JSON value that can be written in many ways.
type value struct {
	kind     byte // of jsontext
	digits   string
	exponent int
	runes    []rune
	names    []string
	parts    []value
}

func anyValue(r *rand.Rand, depth int) value {
	kinds := "tfn00\"\"[{"
	if depth == 0 {
		kinds = kinds[:7]
	}
	v := value{kind: kinds[r.IntN(len(kinds))]}
	switch v.kind {
	case '0':
		for range 1 + r.IntN(24) {
			v.digits += string(rune('0' + r.IntN(10)))
		}
		v.exponent = r.IntN(60) - 30
	case '"':
		alphabet := []rune("ab\"\\/\n\x1fé\u0301€😀\u2028 ")
		for range r.IntN(5) {
			v.runes = append(v.runes, alphabet[r.IntN(len(alphabet))])
		}
	case '[', '{':
		for i := range r.IntN(4) {
			v.names = append(v.names, fmt.Sprintf("%c%d", 'a'+r.IntN(3), i))
			v.parts = append(v.parts, anyValue(r, depth-1))
		}
	}
	return v
}

// changed is v with a difference somewhere, which may be none in jsonb's eyes.
func (v value) changed(r *rand.Rand) value {
	if len(v.parts) > 0 && r.IntN(4) > 0 {
		v.parts = slices.Clone(v.parts)
		i := r.IntN(len(v.parts))
		v.parts[i] = v.parts[i].changed(r)
		return v
	}
	switch {
	case v.kind == '0' && r.IntN(2) == 0:
		v.digits = v.digits[:len(v.digits)-1] + string(rune('0'+r.IntN(10)))
		return v
	case v.kind == '0':
		v.exponent += r.IntN(3) - 1
		return v
	case v.kind == '"':
		v.runes = append(slices.Clone(v.runes), 'a')
		return v
	case len(v.names) > 0:
		v.names = slices.Clone(v.names)
		v.names[0] += "z"
		return v
	}
	return anyValue(r, 1)
}

// text is one of v's ways.
func (v value) text(r *rand.Rand) string {
	space := func() string { return strings.Repeat(" ", r.IntN(2)) }
	switch v.kind {
	case 't':
		return "true"
	case 'f':
		return "false"
	case 'n':
		return "null"
	case '"':
		return quoted(v.runes, r)
	case '0':
		zeros := r.IntN(3)
		digits, exponent := v.digits+strings.Repeat("0", zeros), v.exponent-zeros
		point := 1 + r.IntN(len(digits))
		whole, fraction := strings.TrimLeft(digits[:point], "0"), digits[point:]
		exponent += len(fraction)
		if whole == "" {
			whole = "0"
		}
		if fraction != "" {
			fraction = "." + fraction
		}
		if exponent == 0 && r.IntN(2) == 0 {
			return whole + fraction
		}
		return fmt.Sprintf("%s%s%c%d", whole, fraction, "eE"[r.IntN(2)], exponent)
	}
	var parts []string
	for i, part := range v.parts {
		text := space() + part.text(r) + space()
		if v.kind == '{' {
			text = space() + quoted([]rune(v.names[i]), r) + space() + ":" + text
		}
		parts = append(parts, text)
	}
	if v.kind == '[' {
		return "[" + strings.Join(parts, ",") + "]"
	}
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}

func quoted(runes []rune, r *rand.Rand) string {
	var b strings.Builder
	for _, c := range runes {
		switch {
		case c >= 0x20 && c != '"' && c != '\\' && r.IntN(2) == 0:
			b.WriteRune(c)
		case c > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+(c-0x10000)>>10, 0xdc00+(c-0x10000)&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return `"` + b.String() + `"`
}

func TestMain(m *testing.M) { testbed.Main(m) }
