package ingest

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/ingest/clientlog"
)

// observe measures every request and, at DEBUG, logs it; never what is in it.
func (h *handler) observe(c *gin.Context) {
	c.Writer.Header()["X-Content-Type-Options"] = noSniff
	start := time.Now()
	c.Next()
	took, status := time.Since(start), c.Writer.Status()
	h.metrics.duration.WithLabelValues(route(c), codeClass(status)).Observe(took.Seconds())
	if ctx := c.Request.Context(); h.log.Enabled(ctx, slog.LevelDebug) {
		h.log.LogAttrs(ctx, slog.LevelDebug, "request",
			slog.String("method", clientlog.Printable(c.Request.Method)), slog.String("route", route(c)),
			slog.Int("status", status), slog.Duration("took", took),
			slog.Int64("request_bytes", c.Request.ContentLength), slog.Int("answer_bytes", max(0, c.Writer.Size())))
	}
}

// Where events are taken.
const (
	routeLog   = "/log"
	routeBatch = "/log/batch"
)

// route returns the pattern that matched: unlike paths, patterns are of a bounded number.
func route(c *gin.Context) string {
	if path := c.FullPath(); path != "" {
		return path
	}
	return "other"
}

// codeClass returns "2xx" and so on.
func codeClass(status int) string {
	switch status / 100 {
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	}
	return "5xx"
}

// recover turns a panic into a 500 or, if the answer has begun, cuts the connection, so that half
// an answer is not taken for a whole one.
func (h *handler) recover(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(cause)
		}
		begun := c.Writer.Written()
		var instance string
		if !begun {
			instance = asProblem(errors.New("panic")).write(c)
		}
		h.log.LogAttrs(c.Request.Context(), slog.LevelError, "panic in a handler",
			slog.String("route", route(c)), slog.String("instance", instance),
			slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
		if begun {
			panic(http.ErrAbortHandler)
		}
	}()
	c.Next()
}
