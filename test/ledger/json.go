package ledger

import (
	"bytes"
	"encoding/json"
	"math/big"
)

// equalJSON compares two texts as JSON values: an object's order, white space,
// escapes and a number's spelling (1e2, 100) mean nothing.
func equalJSON(a, b []byte) bool {
	x, errX := parse(a)
	y, errY := parse(b)
	return errX == nil && errY == nil && equal(x, y)
}

func parse(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a float64 would forgive what was altered beyond its 53 bits
	err = d.Decode(&value)
	return value, err
}

func equal(x, y any) bool {
	switch x := x.(type) {
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, value := range x {
			if other, ok := y[name]; !ok || !equal(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case json.Number:
		y, ok := y.(json.Number)
		if !ok {
			return false
		}
		p, okX := new(big.Rat).SetString(x.String())
		q, okY := new(big.Rat).SetString(y.String())
		return okX && okY && p.Cmp(q) == 0
	}
	return x == y
}
