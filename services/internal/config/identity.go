package config

import (
	"bytes"
	"encoding/hex"
	"strings"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

// An identity key is at least as strong as the HMAC-SHA-256 that it is for, and not some large file
// by mistake.
const (
	minIdentityKey = 32  // bytes
	maxIdentityKey = 512 // bytes
)

// IdentityKeyBytes is the identity key, decoded; nil where none is set.
func (s Service) IdentityKeyBytes() []byte {
	key, _ := parseIdentityKey(s.IdentityKey.Reveal()) // checked by Load
	return key
}

// checkIdentityKey says what is wrong, and never shows the value, which may be a key in another
// form.
func (l *loader) checkIdentityKey(key values.Secret) {
	const name = "IDENTITY_KEY"
	if !key.IsSet() {
		return
	}
	if _, problem := parseIdentityKey(key.Reveal()); problem != "" {
		if l.isSet(name + fileSuffix) {
			l.blameSecret(name+fileSuffix, "must name a file of "+problem)
			return
		}
		l.blameSecret(name, "must be "+problem)
	}
}

// parseIdentityKey reads hex digits of either case, with white space around them. problem fits
// after "must be".
func parseIdentityKey(text string) (key []byte, problem string) {
	const want = "at least 64 hex digits (openssl rand -hex 32)"
	key, err := hex.DecodeString(strings.TrimSpace(text))
	switch {
	case err != nil:
		return nil, want
	case len(key) < minIdentityKey:
		return nil, want + ", not fewer"
	case len(key) > maxIdentityKey:
		return nil, want + ", and at most 1024"
	case bytes.Count(key, key[:1]) == len(key):
		return nil, want + ", not one byte over and over"
	}
	return key, ""
}
