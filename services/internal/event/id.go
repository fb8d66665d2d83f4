package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"
)

var errNotV7 = errors.New("must be a UUIDv7 such as 01936f3e-8a00-7c1d-9b2e-3f4a5b6c7d8e")

// parseID reads a UUIDv7 in its usual 36 characters.
func parseID(text []byte) (uuid.UUID, error) {
	if len(text) != 36 {
		return uuid.Nil, errNotV7
	}
	id, err := uuid.ParseBytes(text)
	if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		return uuid.Nil, errNotV7
	}
	return id, nil
}

// IDTime is the time that a UUIDv7 carries, in whole milliseconds.
func IDTime(id uuid.UUID) time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC() //nolint:gosec // 48 bits
}

// derivedID is the id of an event that has none: the same for the same bytes,
// so that a redelivery is the same event. The Python service wrote such
// events.
func derivedID(at time.Time, body []byte) uuid.UUID {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli())) // the callers have bounded it
	sum := sha256.Sum256(body)
	var id uuid.UUID
	copy(id[:6], ms[2:])
	copy(id[6:], sum[:])
	id[6] = id[6]&0x0f | 0x70 // version 7
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}

// appendID appends the usual 36 characters of id to dst.
func appendID(dst []byte, id uuid.UUID) []byte {
	dst = hex.AppendEncode(dst, id[:4])
	dst = hex.AppendEncode(append(dst, '-'), id[4:6])
	dst = hex.AppendEncode(append(dst, '-'), id[6:8])
	dst = hex.AppendEncode(append(dst, '-'), id[8:10])
	return hex.AppendEncode(append(dst, '-'), id[10:])
}
