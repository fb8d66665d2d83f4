package ingest

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/ingest/admission"
	"github.com/trailpost/trailpost/services/internal/ingest/transport"
)

const senderKey = "trailpost.client"

// senderOf returns the client that guarded let in.
func senderOf(c *gin.Context) admission.Client {
	sender, _ := c.Value(senderKey).(admission.Client)
	return sender
}

// guarded lets a client in that has a key, where keys are asked for, and that has not sent too
// much. That is decided before any of the body is read. A request without a right key is charged to
// its address, so that nobody can try keys without limit.
func (h *handler) guarded(handle func(*gin.Context) error) func(*gin.Context) error {
	if h.keys == nil && h.rates == nil {
		return handle
	}
	return func(c *gin.Context) error {
		sender := admission.Client{Address: admission.ClientAddress(c.Request, h.trustedProxies)}
		known := h.keys == nil
		if !known {
			sender.KeyName, known = admission.Identify(h.keys, c.Request.Header)
		}
		if wait, ok := h.rates.Admit(sender); !ok {
			return h.refuse(c, sender, rateLimited(wait))
		}
		if !known {
			c.Header("WWW-Authenticate", `Bearer realm="trailpost"`)
			return h.refuse(c, sender, newProblem(kindUnauthorized, "Send an API key of this service: Authorization: Bearer <key>."))
		}
		c.Set(senderKey, sender)
		return handle(c)
	}
}

// refuse logs now and then which client is refused; the answer does not say so.
func (h *handler) refuse(c *gin.Context, sender admission.Client, p *problem) *problem {
	if more, ok := h.sampler.Allow(p.name, refusalInterval); ok {
		h.log.LogAttrs(c.Request.Context(), slog.LevelWarn, "client refused",
			slog.String("problem", p.name), slog.String("key", sender.KeyName), slog.String("address", sender.Address),
			slog.String("route", route(c)), slog.Int("more_since_last", more))
	}
	return p
}

func rateLimited(wait time.Duration) *problem {
	p := newProblem(kindRateLimited, "More events than agreed; retry after the seconds in Retry-After. Nothing was published.")
	p.retryAfter = wait
	return p
}

// unreadGrace is how long net/http may take to read the rest of a small body before it sends the
// answer (256 KiB at most, so that the connection can be used again).
const unreadGrace = time.Second

// leave is for an answer to a request whose body, if it has one, is not read to its end: the
// connection lingers, unless it goes on. The client that this counts for is found as for rate
// limits. HTTP/2 needs none of it: a stream is reset with NO_ERROR after its answer (RFC 9113,
// 8.1).
func (h *handler) leave(c *gin.Context) {
	r := c.Request
	if r.Body == http.NoBody || r.ProtoMajor != 1 {
		return
	}
	if conn := transport.ConnOf(r); conn != nil {
		conn.Leave(admission.ClientAddress(r, h.trustedProxies))
	}
	// An error means that there is no deadline to move.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(unreadGrace))
}
