package ingest

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// Keys knows who may send events.
type Keys interface {
	// Name tells whose key this is. It answers from memory.
	Name(key string) (name string, ok bool)
}

// client is who sent a request: by the name of its key, else by its address.
type client struct {
	keyName string // "": none
	address string
}

const clientOfRequest = "trailpost.client"

// clientOf returns the client that guarded let in.
func clientOf(c *gin.Context) client {
	sender, _ := c.Value(clientOfRequest).(client)
	return sender
}

// guarded lets in who has a key, where keys are asked for, and has not sent too
// much. That is decided before any of the body is read. A request without a right
// key is charged to its address, so that nobody can try keys without limit.
func (h *handler) guarded(handle func(*gin.Context) error) func(*gin.Context) error {
	if h.keys == nil && h.rates == nil {
		return handle
	}
	return func(c *gin.Context) error {
		sender := client{address: clientAddress(c.Request, h.trustedProxies)}
		known := h.keys == nil
		if !known {
			sender.keyName, known = h.identify(c.Request.Header)
		}
		if wait, ok := h.rates.admit(sender); !ok {
			return h.refuse(c, sender, rateLimited(wait))
		}
		if !known {
			c.Header("WWW-Authenticate", `Bearer realm="trailpost"`)
			return h.refuse(c, sender, newProblem(kindUnauthorized, "Send an API key of this service: Authorization: Bearer <key>."))
		}
		c.Set(clientOfRequest, sender)
		return handle(c)
	}
}

// identify finds the key's name. Whether there was no key, one of a wrong form, an
// unknown or a revoked one: the answer is the same.
func (h *handler) identify(header http.Header) (name string, ok bool) {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110, 11.1: in any case
		return "", false
	}
	return h.keys.Name(strings.TrimLeft(key, " "))
}

// refuse logs now and then who is refused; the answer doesn't say.
func (h *handler) refuse(c *gin.Context, sender client, p *problem) *problem {
	if more, ok := h.sampler.allow(p.name, refusalInterval); ok {
		h.log.LogAttrs(c.Request.Context(), slog.LevelWarn, "client refused",
			slog.String("problem", p.name), slog.String("key", sender.keyName), slog.String("address", sender.address),
			slog.String("route", route(c)), slog.Int("more_since_last", more))
	}
	return p
}

func rateLimited(wait time.Duration) *problem {
	p := newProblem(kindRateLimited, "More events than agreed; retry after the seconds in Retry-After. Nothing was published.")
	p.retryAfter = wait
	return p
}
