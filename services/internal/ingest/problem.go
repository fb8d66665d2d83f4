package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
)

const problemType = "application/problem+json"

// kind is a kind of problem. Its name is a metric's label and, in a URN, the problem's type, so
// that a client can branch on it.
type kind struct {
	name   string
	status int
	title  string
}

// All kinds, and their statuses.
var (
	kindMalformed    = kind{"malformed-json", http.StatusBadRequest, "The body is not JSON"}
	kindBrokenBody   = kind{"broken-body", http.StatusBadRequest, "The body could not be read"}
	kindUnauthorized = kind{"unauthorized", http.StatusUnauthorized, "An API key is required"}
	kindNotFound     = kind{"not-found", http.StatusNotFound, "There is nothing at this path"}
	kindMethod       = kind{"method-not-allowed", http.StatusMethodNotAllowed, "The method is not allowed here"}
	kindSlowBody     = kind{"slow-body", http.StatusRequestTimeout, "The body came too slowly"}
	kindTooLarge     = kind{"too-large", http.StatusRequestEntityTooLarge, "The body is too large"}
	kindMediaType    = kind{"unsupported-media-type", http.StatusUnsupportedMediaType, "The content type or encoding is not supported"}
	kindInvalid      = kind{"invalid-event", http.StatusUnprocessableEntity, "The event is not valid"}
	kindRateLimited  = kind{"rate-limited", http.StatusTooManyRequests, "Too many events in a short time"}
	kindClientGone   = kind{"client-gone", 499, "The client went away"} // nginx's status; nobody reads it
	kindInternal     = kind{"internal", http.StatusInternalServerError, "The producer failed"}
	kindBusy         = kind{"busy", http.StatusServiceUnavailable, "Too many bytes of requests are in memory"}
	kindUnavailable  = kind{"unavailable", http.StatusServiceUnavailable, "The message broker can't take events now"}
	kindLossyPolicy  = kind{"lossy-policy", http.StatusServiceUnavailable, "A policy of the message broker would lose events"}
	kindNotConfirmed = kind{"not-confirmed", http.StatusServiceUnavailable, "The message broker did not confirm"}
)

// beforeTheEnd reports whether a request gets such an answer before its body was read to the end.
func (k kind) beforeTheEnd() bool {
	switch k {
	case kindMalformed, kindInvalid, kindInternal, kindUnavailable, kindNotConfirmed:
		return false
	}
	return true
}

// problem is an error with everything that its answer says.
type problem struct {
	kind
	detail   string
	faults   []event.FieldError // 422
	eventID  string             // 503 after publishing of one event began
	eventIDs []string           // the same of a batch
	events   int                // how many events were refused
	cause    error              // for the log, not for the client

	retryAfter time.Duration // 429
}

func newProblem(k kind, detail string) *problem {
	return &problem{kind: k, detail: detail, events: 1}
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.name + ": " + p.cause.Error()
	}
	return p.name + ": " + p.detail
}

func (p *problem) Unwrap() error { return p.cause }

// asProblem finds the problem in an error. An unexpected error is a 500 whose detail is kept from
// the client.
func asProblem(err error) *problem {
	var p *problem
	var invalid *event.InvalidError
	var syntax *event.SyntaxError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		p = newProblem(kindInvalid, summary(invalid.Errors))
		p.faults, p.events = invalid.Errors, countEvents(invalid.Errors)
		return p
	case errors.As(err, &syntax):
		return newProblem(kindMalformed, syntax.Error())
	}
	return newProblem(kindInternal, "An unexpected error; the producer's log has it, under this instance.")
}

// summary is one sentence about all faults.
func summary(faults []event.FieldError) string {
	switch len(faults) {
	case 0:
		return "The event is not valid."
	case 1:
		return faults[0].String()
	}
	return fmt.Sprintf("%s; and %d more in errors", faults[0], len(faults)-1)
}

// countEvents counts the events of a batch that have a fault.
func countEvents(faults []event.FieldError) int {
	bad := map[int]struct{}{}
	for _, f := range faults {
		if f.Index != nil {
			bad[*f.Index] = struct{}{}
		}
	}
	return max(1, len(bad))
}

// problemBody is RFC 9457's object with our extensions.
type problemBody struct {
	Type     string             `json:"type"`
	Title    string             `json:"title"`
	Status   int                `json:"status"`
	Detail   string             `json:"detail,omitempty"`
	Instance string             `json:"instance"`
	Errors   []event.FieldError `json:"errors,omitempty"`
	EventID  string             `json:"event_id,omitempty"`
	EventIDs []string           `json:"event_ids,omitempty"`
}

// write answers with the problem. Its instance is returned for the log.
func (p *problem) write(c *gin.Context) (instance string) {
	instance = "urn:uuid:" + uuid.NewString()
	header := c.Writer.Header()
	header.Set("Content-Type", problemType)
	header.Set("Cache-Control", "no-store")
	if p.kind == kindMediaType {
		header.Set("Accept-Encoding", "identity") // RFC 9110, 12.5.3: what would have been acceptable
	}
	if p.kind == kindBrokenBody || p.kind == kindSlowBody {
		header.Set("Connection", "close") // nobody knows where the next request would begin
	}
	switch p.status {
	case http.StatusServiceUnavailable:
		setRetryAfter(header)
	case http.StatusTooManyRequests: // whole seconds, and not too few
		header.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.retryAfter.Seconds())))))
	}
	c.Status(p.status)
	encoder := json.NewEncoder(c.Writer)
	encoder.SetEscapeHTML(false)
	// An error is the client's connection: there is nobody left to tell.
	_ = encoder.Encode(problemBody{
		Type:     "urn:trailpost:problem:" + p.name,
		Title:    p.title,
		Status:   p.status,
		Detail:   p.detail,
		Instance: instance,
		Errors:   p.faults,
		EventID:  p.eventID,
		EventIDs: p.eventIDs,
	})
	return instance
}

// maxRetryAfter is in seconds.
const maxRetryAfter = 5

// setRetryAfter asks for a retry in one to five seconds: jittered, so that clients that were
// refused together don't come back together.
func setRetryAfter(header http.Header) {
	header.Set("Retry-After", strconv.Itoa(1+rand.IntN(maxRetryAfter)))
}
