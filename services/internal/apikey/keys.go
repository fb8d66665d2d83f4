package apikey

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Keys is a set of keys that does not change.
type Keys struct {
	entries map[digest]entry
}

type entry struct {
	name string
	sum  digest // the entry's own place in the map
}

// Name returns the name of a key.
//
// It takes no longer for a key that is nearly right: the hash is looked up, of which nobody can
// choose a part, and the comparison that decides takes constant time.
func (k *Keys) Name(key string) (name string, ok bool) {
	sum := digestOf(key)
	e, found := k.entries[sum]
	if subtle.ConstantTimeCompare(e.sum[:], sum[:]) != 1 || !found {
		return "", false
	}
	return e.name, true
}

// Len is the number of keys.
func (k *Keys) Len() int { return len(k.entries) }

// Names lists the names of all keys, sorted, each once.
func (k *Keys) Names() []string {
	names := make([]string, 0, len(k.entries))
	for _, e := range k.entries {
		names = append(names, e.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Parse reads a file of keys, one a line: a name, blanks and sha256:<64 hexadecimal digits>. Lines
// that are empty or begin with # are skipped. The error has the number of a line and never shows
// it, since it may hold a key by mistake.
//
// An empty file is an error: somebody is about to write it. To let nobody in, leave a comment in
// it.
func Parse(text []byte) (*Keys, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // with which some editors begin a file
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("is empty; a comment alone would let nobody in")
	}
	k := &Keys{entries: map[digest]entry{}}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, sum, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if _, twice := k.entries[sum]; twice {
			return nil, fmt.Errorf("line %d: this key is there already", n)
		}
		k.entries[sum] = entry{name, sum}
	}
	return k, nil
}

var errLine = errors.New("must be a name and sha256:<64 hexadecimal digits>")

func parseLine(line string) (name string, sum digest, err error) {
	parts := strings.Fields(line)
	if len(parts) != 2 {
		return "", sum, errLine
	}
	if !nameForm.MatchString(parts[0]) {
		return "", sum, errName
	}
	digits, ok := strings.CutPrefix(parts[1], "sha256:")
	if !ok || len(digits) != 2*len(sum) {
		return "", sum, errLine
	}
	if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
		return "", sum, errLine
	}
	return parts[0], sum, nil
}
