package ingest

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/trailpost/trailpost/services/internal/event"
)

// acceptedBuffers are for the answers of single events, which nearly all requests have.
var acceptedBuffers = sync.Pool{New: func() any { return new([]byte) }}

// writeAccepted sends the 202 of one event.
func writeAccepted(c *gin.Context, e *event.Event, ignored []string) {
	buffer, _ := acceptedBuffers.Get().(*[]byte)
	*buffer = appendAccepted((*buffer)[:0], e, ignored)
	writeJSON(c, http.StatusAccepted, *buffer)
	acceptedBuffers.Put(buffer)
}

// appendAccepted appends the 202 of one event. It is written by hand, since nearly every request is
// answered so.
func appendAccepted(dst []byte, e *event.Event, ignored []string) []byte {
	dst = append(dst, `{"status":"accepted","message":"The event is on the queue.","event_id":"`...)
	dst = event.AppendID(dst, e.ID)
	dst = append(dst, `","timestamp":"`...)
	dst = event.AppendTime(dst, e.ReceivedAt, "Z")
	dst = append(dst, '"')
	dst = appendIgnored(dst, ignored)
	return append(dst, "}\n"...)
}

// appendBatchAccepted appends the 202 of a batch.
func appendBatchAccepted(dst []byte, events []event.Event, ignored []string) []byte {
	dst = append(dst, `{"status":"accepted","accepted":`...)
	dst = strconv.AppendInt(dst, int64(len(events)), 10)
	dst = append(dst, `,"event_ids":[`...)
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = event.AppendID(dst, events[i].ID)
		dst = append(dst, '"')
	}
	dst = append(dst, ']')
	dst = appendIgnored(dst, ignored)
	return append(dst, "}\n"...)
}

// appendIgnored adds the member "ignored" if there is anything to name.
func appendIgnored(dst []byte, names []string) []byte {
	for i, name := range names {
		if i == 0 {
			dst = append(dst, `,"ignored":[`...)
		} else {
			dst = append(dst, ',')
		}
		// An error only says that bad UTF-8 was replaced.
		dst, _ = jsontext.AppendQuote(dst, name)
	}
	if len(names) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// Values of headers that nearly every answer has. They are shared: net/http only reads them.
var (
	mediaTypeJSON = []string{"application/json"}
	noStore       = []string{"no-store"}
	noSniff       = []string{"nosniff"}
)

// writeJSON sends an answer that no cache may keep.
func writeJSON(c *gin.Context, status int, body []byte) {
	header := c.Writer.Header()
	header["Cache-Control"] = noStore
	header["Content-Type"] = mediaTypeJSON
	c.Status(status)
	_, _ = c.Writer.Write(body) // the client may be gone
}

func formatTime(t time.Time) string { return string(event.AppendTime(nil, t.UTC(), "Z")) }
