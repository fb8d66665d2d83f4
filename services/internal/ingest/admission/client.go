package admission

import (
	"net/http"
	"strings"
)

// Keys knows who may send events.
type Keys interface {
	// Name returns the name of a key. It answers from memory.
	Name(key string) (name string, ok bool)
}

// Client is the sender of a request: the name of its key, else its address.
type Client struct {
	KeyName string // "" without a key
	Address string
}

// Identify finds the name of the key that a request shows. Whether there was no key, a malformed,
// an unknown or a revoked one: the answer is the same.
func Identify(keys Keys, header http.Header) (name string, ok bool) {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110, 11.1: in any case
		return "", false
	}
	return keys.Name(strings.TrimLeft(key, " "))
}
