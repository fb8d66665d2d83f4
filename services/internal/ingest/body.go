package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/admission"
)

const (
	// firstRead is how much of a body is allocated before any of it has come. A client that
	// announces much holds no more than that, or twice what it has sent: thousands of slow clients
	// leave the budget to others.
	firstRead = 4 << 10
	// bodyRate is how fast a body must come after the server's ReadTimeout, in bytes a second.
	bodyRate = 256 << 10
)

// bodyRules is what a route takes.
type bodyRules struct {
	limit      int64                   // bytes
	share      func(limit int64) int64 // how much of the budget such bodies may fill
	mediaTypes mediaTypes
}

var (
	eventRules = bodyRules{
		limit:      event.MaxEventBytes,
		share:      func(limit int64) int64 { return limit },
		mediaTypes: mediaTypes{"": mediaJSON, "application/json": mediaJSON},
	}
	batchRules = bodyRules{
		limit: event.MaxBatchBytes,
		share: func(limit int64) int64 { return limit - limit/4 },
		mediaTypes: mediaTypes{
			"": mediaJSON, "application/json": mediaJSON,
			"application/x-ndjson": mediaLines, "application/ndjson": mediaLines, "application/jsonl": mediaLines,
		},
	}
)

// body is a request's body in memory. Its bytes are never used again, since the events alias them,
// while the charge ends with close.
type body struct {
	bytes   []byte
	media   media
	budget  *admission.Budget
	charged int64
}

// close gives the charge back. The body may be empty.
func (b *body) close() {
	if b.budget != nil {
		b.budget.Release(b.charged)
	}
}

// readBody reads all of a request's body, or returns a *problem and has charged nothing.
func (h *handler) readBody(c *gin.Context, rules *bodyRules) (b body, err error) {
	r := c.Request
	mediaType, err := rules.mediaTypes.of(r.Header)
	if err != nil {
		return b, err
	}
	if r.ContentLength > rules.limit {
		return b, tooLarge(rules.limit)
	}
	b = body{media: mediaType, budget: h.budget}
	if err := b.read(r, rules, http.NewResponseController(c.Writer), h.readTimeout); err != nil {
		b.close()
		return body{}, err
	}
	return b, nil
}

// read fills b.bytes. One byte beyond the limit is enough to refuse.
func (b *body) read(r *http.Request, rules *bodyRules, control *http.ResponseController, grace time.Duration) error {
	most := rules.share(b.budget.Limit())
	size := int64(firstRead)
	if r.ContentLength >= 0 {
		// One more than announced, so that the read that finds the end needs no more room.
		size = min(size, r.ContentLength+1)
	}
	start := time.Now()
	for {
		if err := b.grow(size, most); err != nil {
			return err
		}
		n, err := r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > rules.limit:
			return tooLarge(rules.limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return readProblem(r.Context(), err)
		}
		if len(b.bytes) == cap(b.bytes) {
			size = min(2*size, rules.limit+1)
			if r.ContentLength >= 0 {
				size = min(size, r.ContentLength+1)
			}
			// The server's deadline would cut off a large body that comes fast enough. An error
			// means that there is no deadline to move.
			pace := time.Duration(len(b.bytes)) * time.Second / bodyRate
			_ = control.SetReadDeadline(start.Add(grace + pace + time.Duration(size)*time.Second/bodyRate))
		}
	}
}

// grow gives b.bytes a capacity of size, charged first.
func (b *body) grow(size, most int64) error {
	more := size - int64(cap(b.bytes))
	if more <= 0 {
		return nil
	}
	if !b.budget.Charge(more, most) {
		return newProblem(kindBusy, "Other requests' bodies fill the memory that is set aside for them; retry later.")
	}
	b.charged += more
	bigger := make([]byte, len(b.bytes), size)
	copy(bigger, b.bytes)
	b.bytes = bigger
	return nil
}

func tooLarge(limit int64) *problem {
	return newProblem(kindTooLarge, fmt.Sprintf("The body must not have more than %d bytes.", limit))
}

// readProblem returns the problem of a body that ended early.
func readProblem(ctx context.Context, err error) *problem {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return newProblem(kindSlowBody, "The body did not arrive in time.")
	case ctx.Err() != nil:
		return newProblem(kindClientGone, "The client closed the connection.")
	}
	return newProblem(kindBrokenBody, "The body ended early or was not encoded as announced.")
}
