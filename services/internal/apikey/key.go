package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
)

// prefix lets people and secret scanners see what a string is.
const prefix = "tp_"

// nameForm keeps names fit for logs, metrics and a column.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

var errName = errors.New("a name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit")

// digest is a key's SHA-256.
type digest [sha256.Size]byte

func digestOf(key string) digest { return sha256.Sum256([]byte(key)) }

// New makes a key of 256 random bits, which is kept nowhere, and the line for the file, without its
// end. The error says that the name is malformed.
func New(name string) (key, line string, err error) {
	if !nameForm.MatchString(name) {
		return "", "", fmt.Errorf("%q: %w", name, errName)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the process first
	key = prefix + base64.RawURLEncoding.EncodeToString(random[:])
	sum := digestOf(key)
	return key, name + " sha256:" + hex.EncodeToString(sum[:]), nil
}
