package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"

	"github.com/google/uuid"
)

// Key is the installation's identity key, under which ids are derived for events that have none.
// The zero Key is no key: ids are then plain SHA-256, and whoever sees one can check a guess of
// what it was derived from, even after that is erased.
type Key struct{ raw []byte }

// NewKey returns a Key of random bytes; without any, the zero Key.
func NewKey(raw []byte) Key { return Key{raw} }

// IsSet reports whether there is a key.
func (k Key) IsSet() bool { return len(k.raw) > 0 }

// Name tells keys apart and gives none away: 8 hex digits of the key's SHA-256; "" without a key.
func (k Key) Name() string {
	if !k.IsSet() {
		return ""
	}
	sum := sha256.Sum256(k.raw)
	return hex.EncodeToString(sum[:4])
}

// What an id is derived for. Two uses never hash the same bytes.
const (
	forMessage = "trailpost: event_id of a message without one, v1"
	forRenewed = "trailpost: event_id in place of a former one, v1"
)

// sum returns the HMAC-SHA-256 under the key, or without a key the SHA-256, of the use and the
// parts, each with its length before it.
func (k Key) sum(use string, parts ...[]byte) (sum [sha256.Size]byte) {
	var h hash.Hash
	if k.IsSet() {
		h = hmac.New(sha256.New, k.raw)
	} else {
		h = sha256.New()
	}
	write := func(part []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	write([]byte(use))
	for _, part := range parts {
		write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// derivedIDs returns the ids of an event on the queue that has none: the same for the same bytes,
// so that a redelivery is the same event. The Python service wrote such events. plain is the id
// without a key, under which the event may have been stored before there was one; uuid.Nil where id
// is that.
func (k Key) derivedIDs(at time.Time, body []byte) (id, plain uuid.UUID) {
	plain = v7(at, sha256.Sum256(body))
	if !k.IsSet() {
		return plain, uuid.Nil
	}
	return v7(at, k.sum(forMessage, body)), plain
}

// v7 returns the UUIDv7 (RFC 9562, 5.7) of a time, which the callers have bounded, and of the first
// 74 bits of a sum that the layout leaves.
func v7(at time.Time, sum [sha256.Size]byte) (id uuid.UUID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	copy(id[6:], sum[:])
	id[6] = id[6]&0x0f | 0x70 // version 7
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}
