package event

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event/jsonb"
)

// Limits of what a client may send.
const (
	MaxEventBytes    = 256 << 10      // body of POST /log, bytes
	MaxBatchBytes    = 16 << 20       // body of POST /log/batch, bytes
	MaxBatchEvents   = 10_000         // events in a batch
	MaxDepth         = jsonb.MaxDepth // nesting of a payload; {} alone is 1
	MaxTypeChars     = 100            // event_type, characters
	MinUsernameChars = 3              // username, characters
	MaxUsernameChars = 255            // username, characters
	MaxSenderChars   = 64             // received_from, characters
)

// MaxSourceChars is how long the parts of a [Source] are in the trail, in characters.
const MaxSourceChars = 255

// Event is one line of the trail.
type Event struct {
	ID          uuid.UUID // UUIDv7: primary key, order and partition of the trail
	SessionID   int64     // > 0; 0, none, where there is a Source
	Type        string    // 1 to MaxTypeChars characters
	Username    string    // "" when the client sent none
	Timestamp   time.Time // when it happened: UTC, whole microseconds
	ReceivedAt  time.Time // the producer's clock at acceptance: UTC, whole microseconds
	Payload     []byte    // one JSON object without line breaks
	TraceParent string    // W3C traceparent of the request, or ""

	// ReceivedFrom is the name of the API key that the client showed, "" where the producer asks
	// for none. The producer sets it ([Origin]); no client can.
	ReceivedFrom string

	// Source says where the event comes from if not from POST /log; nil: it is from there.
	Source *Source

	// PlainID is the id that the event would have without an identity key, where its own was
	// derived under one; else uuid.Nil. The trail may have the event under it, from the time before
	// there was a key. It does not travel.
	PlainID uuid.UUID

	// Raw is the line that [Key.ParseWire] read, where it had no id and one was derived from those
	// bytes; else nil. A program that passes the event on passes these on, so that a consumer with
	// another key, or with the first, recognises it.
	Raw []byte
}

// Source is where an event comes from that POST /log did not bring, and what it is there. Such an
// event is not the application's own: it has no session, and no rule of ours was put to its sender,
// so what is too long in it is cut and not refused (see [Key.ParseWire]).
type Source struct {
	Name string // otlp/<service.name>, k8s/<cluster>, in/<source>; 1 to MaxSourceChars characters
	ID   string // the record's own id, for people; up to MaxSourceChars characters, "" where it has none

	// EventKey is made from Name and the record's natural id, EventKeyBytes long, where the time in
	// the event's id is not the record's own but one of the times at which it was received: then
	// the trail has one event of the key, whatever its id. Else nil.
	EventKey []byte
	// NaturalIDIsBytes says that the natural id is the bytes of the record: two events of one id, or
	// of one EventKey, are the same event, whatever two releases have made of those bytes.
	NaturalIDIsBytes bool
}

// EventKeyBytes is the length of a [Source.EventKey], an HMAC-SHA-256.
const EventKeyBytes = 32

// SourceName is the name of the event's source; "" for one of POST /log's.
func (e *Event) SourceName() string {
	if e.Source == nil {
		return ""
	}
	return e.Source.Name
}

// OwnTimeID returns the id that the event would have if the record's own time was in it: that, and
// the first 74 bits of EventKey, as in the event's own id. A record may have been stored under it
// before it was too old. It is uuid.Nil where there is no EventKey, or no id may have that time.
func (e *Event) OwnTimeID() uuid.UUID {
	if e.Source == nil || e.Source.EventKey == nil || e.Timestamp.Before(firstIDTime) {
		return uuid.Nil
	}
	return v7(e.Timestamp, [EventKeyBytes]byte(e.Source.EventKey))
}

// knownTypes are the event types that the Python service listed as supported; it refused no other.
var knownTypes = []string{
	"llm_error",
	"llm_feedback_received",
	"llm_query_sent",
	"performance_analysis_completed",
	"performance_analysis_started",
	"report_generated",
	"review_cancelled",
	"review_completed",
	"review_started",
	"security_scan_completed",
	"security_scan_started",
	"style_analysis_completed",
	"style_analysis_started",
	"syntax_analysis_completed",
	"syntax_analysis_started",
	"system_event",
	"user_action",
}

// The types that set a session's start and end.
const (
	TypeReviewStarted   = "review_started"
	TypeReviewCompleted = "review_completed"
	TypeReviewCancelled = "review_cancelled"
)

// Known reports whether eventType is one of the documented types. Others are accepted, too.
func Known(eventType string) bool {
	_, found := slices.BinarySearch(knownTypes, eventType)
	return found
}

// KnownTypes returns the documented types, sorted.
func KnownTypes() []string { return slices.Clone(knownTypes) }
