package store

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
)

// copyStatement names the columns in the order of copyRows, the payload last. tx is left to its default.
const copyStatement = `COPY public.log_events
	(event_id, session_id, event_type, username, "timestamp", received_at, received_from, payload)
	FROM STDIN WITH (FORMAT binary)`

// copy sends the events in one COPY. They must be sorted by id.
func (b *batch) copy(ctx context.Context, tx pgx.Tx, which []int) error {
	ctx, span := traceCopy(ctx, tx.Conn(), len(which))
	_, err := tx.Conn().PgConn().CopyFrom(ctx, &copyRows{events: b.events, which: which}, copyStatement)
	endStatement(span, err)
	return err
}

// copyRows writes events in COPY's binary format (PostgreSQL documentation, COPY, "Binary Format") as they are asked
// for. pgx's own CopyFrom would ask the server for the columns' types at every batch, and make an interface value of
// every field and a copy of every payload; this copies each payload once, from the message to the socket's buffer.
type copyRows struct {
	events []event.Event
	which  []int

	started bool
	ended   bool
	fixed   []byte // what is still to be sent of a row before its payload
	payload []byte // what is still to be sent of the payload
	buffer  []byte // behind fixed
}

// copySignature, no flags, no header extension.
const copySignature = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// copyTrailer is a row of -1 columns.
const copyTrailer = "\xff\xff"

// Read is io.Reader's.
func (r *copyRows) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case len(r.fixed) > 0:
			c := copy(p[n:], r.fixed)
			r.fixed, n = r.fixed[c:], n+c
		case len(r.payload) > 0:
			c := copy(p[n:], r.payload)
			r.payload, n = r.payload[c:], n+c
		case !r.started:
			r.started = true
			r.fixed = []byte(copySignature)
		case len(r.which) > 0:
			r.row(&r.events[r.which[0]])
			r.which = r.which[1:]
		case !r.ended:
			r.ended = true
			r.fixed = []byte(copyTrailer)
		default:
			return n, io.EOF
		}
	}
	return n, nil
}

func (r *copyRows) row(e *event.Event) {
	b := binary.BigEndian.AppendUint16(r.buffer[:0], 8)
	b = appendField(b, e.ID[:])
	b = appendInt64(b, e.SessionID)
	b = appendField(b, e.Type)
	b = appendText(b, e.Username)
	b = appendTime(b, e.Timestamp)
	b = appendTime(b, e.ReceivedAt)
	b = appendText(b, e.ReceivedFrom)
	// jsonb's binary form is its version, 1, and then text: there is nothing to gain from another.
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(e.Payload))) //nolint:gosec // an event is at most 256 KiB
	b = append(b, 1)
	r.buffer, r.fixed, r.payload = b, b, e.Payload
}

func appendField[T string | []byte](b []byte, value T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(value))) //nolint:gosec // an event is at most 256 KiB
	return append(b, value...)
}

// appendText appends a text that is NULL when it is empty.
func appendText(b []byte, value string) []byte {
	if value == "" {
		return append(b, "\xff\xff\xff\xff"...)
	}
	return appendField(b, value)
}

func appendInt64(b []byte, v int64) []byte {
	b = binary.BigEndian.AppendUint32(b, 8)
	return binary.BigEndian.AppendUint64(b, uint64(v)) //nolint:gosec // two's complement is what int8send writes
}

// epoch is PostgreSQL's, 2000-01-01, in Unix microseconds.
const epoch = 946_684_800_000_000

func appendTime(b []byte, t time.Time) []byte { return appendInt64(b, t.UnixMicro()-epoch) }
