package columns

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trailpost/trailpost/services/internal/event"
)

// column is a column of log_events that a writer fills.
type column struct {
	name    string
	sqlType string
	// same is the condition under which an event's value is the row's, of the column's name. It is
	// nil for a column in which the same event may differ between two attempts of its client.
	same func(name string) string
	// appendField appends the value to a row of COPY's binary format.
	appendField func(row []byte, e *event.Event) []byte
	// array returns the values of some events, as an argument of a statement.
	array func(events []event.Event, which []int) any
}

// columns are in the order in which COPY, INSERT and every comparison name them: a new column is a
// new entry here. The id is first, since a search by other ids puts them into its place. The
// payload is last, since [Copy] sends its text from where it is, after the fields of the row.
// The column tx is missing, since its default fills it.
var columns = [...]column{
	{
		name: "event_id", sqlType: "uuid",
		appendField: func(row []byte, e *event.Event) []byte { return appendField(row, e.ID[:]) },
		array: arrayOf(func(e *event.Event) pgtype.UUID {
			return pgtype.UUID{Bytes: e.ID, Valid: true}
		}),
	},
	{
		name: "session_id", sqlType: "bigint", same: isNotDistinct,
		appendField: func(row []byte, e *event.Event) []byte {
			if e.Source != nil {
				return appendNull(row)
			}
			return appendInt64(row, e.SessionID)
		},
		array: arrayOf(func(e *event.Event) pgtype.Int8 {
			return pgtype.Int8{Int64: e.SessionID, Valid: e.Source == nil}
		}),
	},
	{
		name: "event_type", sqlType: "text", same: isEqual,
		appendField: func(row []byte, e *event.Event) []byte { return appendField(row, e.Type) },
		array:       arrayOf(func(e *event.Event) string { return e.Type }),
	},
	{
		name: "username", sqlType: "text", same: isNotDistinct,
		appendField: func(row []byte, e *event.Event) []byte { return appendText(row, e.Username) },
		array:       arrayOf(func(e *event.Event) pgtype.Text { return nullable(e.Username) }),
	},
	{
		name: `"timestamp"`, sqlType: "timestamptz", same: isEqual,
		appendField: func(row []byte, e *event.Event) []byte { return appendTime(row, e.Timestamp) },
		array:       arrayOf(func(e *event.Event) pgtype.Timestamptz { return pgtype.Timestamptz{Time: e.Timestamp, Valid: true} }),
	},
	{
		// The producer's, like received_from: another at each attempt of a client.
		name: "received_at", sqlType: "timestamptz",
		appendField: func(row []byte, e *event.Event) []byte { return appendTime(row, e.ReceivedAt) },
		array:       arrayOf(func(e *event.Event) pgtype.Timestamptz { return pgtype.Timestamptz{Time: e.ReceivedAt, Valid: true} }),
	},
	{
		// The name of an API key, which may have been replaced between two attempts.
		name: "received_from", sqlType: "text",
		appendField: func(row []byte, e *event.Event) []byte { return appendText(row, e.ReceivedFrom) },
		array:       arrayOf(func(e *event.Event) pgtype.Text { return nullable(e.ReceivedFrom) }),
	},
	{
		name: "source", sqlType: "text", same: isNotDistinct,
		appendField: func(row []byte, e *event.Event) []byte { return appendText(row, sourceOf(e).Name) },
		array:       arrayOf(func(e *event.Event) pgtype.Text { return nullable(sourceOf(e).Name) }),
	},
	{
		name: "source_id", sqlType: "text", same: isNotDistinct,
		appendField: func(row []byte, e *event.Event) []byte { return appendText(row, sourceOf(e).ID) },
		array:       arrayOf(func(e *event.Event) pgtype.Text { return nullable(sourceOf(e).ID) }),
	},
	{
		name: "payload", sqlType: "jsonb", same: isEqualPayload,
		appendField: func(row []byte, e *event.Event) []byte { return appendJSONBHeader(row, len(e.Payload)) },
		array: func(events []event.Event, which []int) any {
			// FlatArray, since a plain [][]byte could be taken for an array of two dimensions.
			payloads := make(pgtype.FlatArray[[]byte], len(which))
			for n, i := range which {
				payloads[n] = events[i].Payload
			}
			return payloads
		},
	},
}

// A condition is never NULL, which would be neither.
func isEqual(name string) string { return fmt.Sprintf("e.%[1]s = sent.%[1]s", name) }
func isNotDistinct(name string) string {
	return fmt.Sprintf("e.%[1]s IS NOT DISTINCT FROM sent.%[1]s", name)
}

// isEqualPayload leaves out what may differ between two attempts to send one record: see package
// event, which has the same members.
func isEqualPayload(name string) string {
	return fmt.Sprintf(`CASE WHEN sent.source IS NULL THEN e.%[1]s = sent.%[1]s
			ELSE e.%[1]s - '{unsigned,_trailpost}'::text[] = sent.%[1]s - '{unsigned,_trailpost}'::text[] END`, name)
}

var noSource event.Source

func sourceOf(e *event.Event) *event.Source {
	if e.Source == nil {
		return &noSource
	}
	return e.Source
}

// Count is how many columns there are, and so parameters of [Arrays].
const Count = len(columns)

// The parts of statements that list the columns.
var (
	// Names are all columns, in their order.
	Names = joinColumns(func(_ int, c *column) string { return c.name }, ", ")
	// Arrays are parameters: from $1 on, an array for each column.
	Arrays = joinColumns(func(n int, c *column) string {
		return fmt.Sprintf("$%d::%s[]", n+1, c.sqlType)
	}, ", ")
	// SameEvent is a condition: the row e of log_events is the same event as the row sent.
	SameEvent = sameBut("")
	// SameRecord is SameEvent but for the time, which two events of one key may have from their
	// receipt.
	SameRecord = sameBut(`"timestamp"`)
)

func sameBut(name string) string {
	return joinColumns(func(_ int, c *column) string {
		if c.same == nil || c.name == name {
			return ""
		}
		return c.same(c.name)
	}, " AND ")
}

// joinColumns joins what part returns for each column, without what is empty.
func joinColumns(part func(n int, c *column) string, separator string) string {
	var parts []string
	for n := range columns {
		if p := part(n, &columns[n]); p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, separator)
}

// Values returns the arguments for [Arrays].
func Values(events []event.Event, which []int) []any {
	values := make([]any, len(columns))
	for n := range columns {
		values[n] = columns[n].array(events, which)
	}
	return values
}

func arrayOf[T any](value func(*event.Event) T) func(events []event.Event, which []int) any {
	return func(events []event.Event, which []int) any {
		values := make([]T, len(which))
		for n, i := range which {
			values[n] = value(&events[i])
		}
		return values
	}
}

// nullable is a text that is NULL when it is empty.
func nullable(text string) pgtype.Text { return pgtype.Text{String: text, Valid: text != ""} }
