package statedir

import (
	"crypto/rand"
	"encoding/hex"
)

// awkward is part of every password we make: what a URL, a shell, a configuration
// file or SQL could trip over is met every day instead of by a user.
const awkward = `p@ss:w/rd?#%&"'`

// NewPassword returns a fresh password of 96 random bits.
func NewPassword() string { return awkward + RandomHex(12) }

// RandomHex returns n random bytes as hexadecimal digits.
func RandomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}
