package event

import (
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

// IDTime returns the time that a UUIDv7 carries, in whole milliseconds.
func IDTime(id uuid.UUID) time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC() //nolint:gosec // 48 bits
}

// AppendID appends the usual 36 characters of id to dst.
func AppendID(dst []byte, id uuid.UUID) []byte {
	dst = hex.AppendEncode(dst, id[:4])
	dst = hex.AppendEncode(append(dst, '-'), id[4:6])
	dst = hex.AppendEncode(append(dst, '-'), id[6:8])
	dst = hex.AppendEncode(append(dst, '-'), id[8:10])
	return hex.AppendEncode(append(dst, '-'), id[10:])
}
