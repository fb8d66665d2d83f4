package event

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

// FieldError is one fault of an event that could be parsed but is not valid.
type FieldError struct {
	Index   *int   `json:"index,omitempty"` // position in a batch, from 0; nil for a single event
	Field   string `json:"field"`           // a member's name, or "body" when no one member is to blame
	Message string `json:"message"`
}

func (e FieldError) String() string {
	if e.Index != nil {
		return fmt.Sprintf("event %d: %s: %s", *e.Index, e.Field, e.Message)
	}
	return e.Field + ": " + e.Message
}

// InvalidError lists every fault that was found in a request (HTTP 422).
type InvalidError struct {
	Errors []FieldError
}

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Errors))
	for i, fault := range e.Errors {
		texts[i] = fault.String()
	}
	return "invalid event: " + strings.Join(texts, "; ")
}

func invalidBody(format string, args ...any) *InvalidError {
	return &InvalidError{Errors: []FieldError{{Field: "body", Message: fmt.Sprintf(format, args...)}}}
}

// SyntaxError is text that is not JSON (HTTP 400).
type SyntaxError struct {
	Offset int64 // bytes from the start of the body
	Err    error
}

func (e *SyntaxError) Error() string {
	if e.Offset == 0 && errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return "the body is empty"
	}
	return fmt.Sprintf("malformed JSON at byte %d: %v", e.Offset, e.Err)
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// Reasons why a line of the queue can't become an event. They are the dead letter's reason.
const (
	ReasonInvalidJSON  = "invalid_json"     // not one JSON object
	ReasonInvalidEvent = "invalid_event"    // a member is missing, of the wrong type or out of bounds
	ReasonInvalidID    = "invalid_event_id" // no UUIDv7, or from before 2020 or the future
)

// WireError says why [ParseWire] could not read an event.
type WireError struct {
	Reason string
	Detail string
	ID     uuid.UUID // the event's id where it could be read, else uuid.Nil
}

func (e *WireError) Error() string { return e.Reason + ": " + e.Detail }
