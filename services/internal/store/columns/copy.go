package columns

import (
	"encoding/binary"
	"io"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
)

// CopyStatement is the COPY of the events: of all columns in the order of [columns].
var CopyStatement = "COPY public.log_events (" + Names + ") FROM STDIN WITH (FORMAT binary)"

// Copy encodes events in COPY's binary format (PostgreSQL documentation, COPY, "Binary Format")
// while they are read. pgx's own CopyFrom would ask the server for the columns' types at every
// batch, and make an interface value of every field and a copy of every payload; this copies each
// payload once, from the message to the socket's buffer.
type Copy struct {
	events []event.Event
	which  []int

	started bool
	ended   bool
	fixed   []byte // not sent yet, of a row before its payload's text
	payload []byte // not sent yet, of the payload's text
	buffer  []byte // the memory of fixed
}

// copySignature is followed by no flags and no header extension.
const copySignature = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// copyTrailer is a row of -1 columns.
const copyTrailer = "\xff\xff"

// NewCopy returns the rows of some of the events, which must be sorted by id, for [CopyStatement].
func NewCopy(events []event.Event, which []int) *Copy { return &Copy{events: events, which: which} }

// Read implements io.Reader.
func (r *Copy) Read(p []byte) (n int, err error) {
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

// row encodes an event, but for its payload's text. It allocates nothing once the buffer has grown.
func (r *Copy) row(e *event.Event) {
	b := binary.BigEndian.AppendUint16(r.buffer[:0], uint16(len(columns)))
	for i := range columns {
		b = columns[i].appendField(b, e)
	}
	r.buffer, r.fixed, r.payload = b, b, e.Payload
}

// appendJSONBHeader appends what stands before n bytes of JSON: their length, and the version of
// jsonb's binary form. That is 1, which is followed by text.
func appendJSONBHeader(b []byte, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+n)) //nolint:gosec // a message of RabbitMQ is shorter
	return append(b, 1)
}

func appendField[T string | []byte](b []byte, value T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(value))) //nolint:gosec // an event is at most 4 MiB
	return append(b, value...)
}

// appendText appends a text that is NULL when it is empty.
func appendText(b []byte, value string) []byte {
	if value == "" {
		return appendNull(b)
	}
	return appendField(b, value)
}

func appendNull(b []byte) []byte { return append(b, "\xff\xff\xff\xff"...) }

func appendInt64(b []byte, v int64) []byte {
	b = binary.BigEndian.AppendUint32(b, 8)
	return binary.BigEndian.AppendUint64(b, uint64(v)) //nolint:gosec // two's complement is what int8send writes
}

// epoch is where PostgreSQL's timestamps begin, 2000-01-01, in Unix microseconds.
const epoch = 946_684_800_000_000

func appendTime(b []byte, t time.Time) []byte { return appendInt64(b, t.UnixMicro()-epoch) }
