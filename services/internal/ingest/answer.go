package ingest

import (
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/trailpost/trailpost/services/internal/event"
)

// appendAccepted is the 202 of one event. It is written by hand since it is the
// answer of nearly every request.
func appendAccepted(dst []byte, e *event.Event, ignored []string) []byte {
	dst = append(dst, `{"status":"accepted","message":"The event is on the queue.","event_id":"`...)
	dst = appendID(dst, e)
	dst = append(dst, `","timestamp":"`...)
	dst = event.AppendTime(dst, e.ReceivedAt, "Z")
	dst = append(dst, '"')
	dst = appendIgnored(dst, ignored)
	return append(dst, "}\n"...)
}

// appendBatchAccepted is the 202 of a batch.
func appendBatchAccepted(dst []byte, events []event.Event, ignored []string) []byte {
	dst = append(dst, `{"status":"accepted","accepted":`...)
	dst = strconv.AppendInt(dst, int64(len(events)), 10)
	dst = append(dst, `,"event_ids":[`...)
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = appendID(dst, &events[i])
		dst = append(dst, '"')
	}
	dst = append(dst, ']')
	dst = appendIgnored(dst, ignored)
	return append(dst, "}\n"...)
}

func appendID(dst []byte, e *event.Event) []byte {
	id, _ := e.ID.MarshalText() // never fails
	return append(dst, id...)
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

// Values of headers that nearly every answer has. They are shared, which net/http does not mind.
var (
	mediaTypeJSON = []string{"application/json"}
	noStore       = []string{"no-store"}
	noSniff       = []string{"nosniff"}
)

// writeJSON sends an answer that is a moment's truth.
func writeJSON(c *gin.Context, status int, body []byte) {
	header := c.Writer.Header()
	header["Cache-Control"] = noStore
	header["Content-Type"] = mediaTypeJSON
	c.Status(status)
	_, _ = c.Writer.Write(body) // the client may be gone
}

func formatTime(t time.Time) string { return string(event.AppendTime(nil, t.UTC(), "Z")) }
