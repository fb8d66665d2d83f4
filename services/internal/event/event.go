package event

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Limits of what a client may send.
const (
	MaxEventBytes    = 256 << 10 // body of POST /log, bytes
	MaxBatchBytes    = 16 << 20  // body of POST /log/batch, bytes
	MaxBatchEvents   = 10_000    // events in a batch
	MaxDepth         = 64        // nesting of a payload; {} alone is 1
	MaxTypeChars     = 100       // event_type, characters
	MinUsernameChars = 3         // username, characters
	MaxUsernameChars = 255       // username, characters
	MaxSenderChars   = 64        // received_from, characters
)

// Event is one line of the trail.
type Event struct {
	ID          uuid.UUID // UUIDv7: primary key, order and partition of the trail
	SessionID   int64     // > 0
	Type        string    // 1 to MaxTypeChars characters
	Username    string    // "" when the client sent none
	Timestamp   time.Time // when it happened: UTC, whole microseconds
	ReceivedAt  time.Time // the producer's clock at acceptance: UTC, whole microseconds
	Payload     []byte    // one JSON object without line breaks
	TraceParent string    // W3C traceparent of the request, or ""

	// ReceivedFrom is the name of the API key that the client showed, "" where the producer asks
	// for none. The producer sets it ([Origin]); no client can.
	ReceivedFrom string

	// PlainID is the id that the event would have without an identity key, where its own was
	// derived under one; else uuid.Nil. The trail may have the event under it, from the time before
	// there was a key. It does not travel.
	PlainID uuid.UUID

	// Raw is the line that [Key.ParseWire] read, where it had no id and one was derived from those
	// bytes; else nil. A program that passes the event on passes these on, so that a consumer with
	// another key, or with the first, recognises it.
	Raw []byte
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
