package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

// queueTimeout is how long the broker may take to answer how deep the queue is.
const queueTimeout = 5 * time.Second

// writeValue sends one of the small answers below.
func writeValue(c *gin.Context, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // structs of strings and ints: can't fail
	}
	if status == http.StatusServiceUnavailable {
		setRetryAfter(c.Writer.Header())
	}
	writeJSON(c, status, append(body, '\n'))
}

// getCard says what this service is and where things are.
func (h *handler) getCard(c *gin.Context) {
	writeValue(c, http.StatusOK, struct {
		Service   string            `json:"service"`
		Version   string            `json:"version"`
		Status    string            `json:"status"`
		Endpoints map[string]string `json:"endpoints"`
	}{
		"producer", h.version, "running", h.endpoints,
	})
}

// endpoints lists the routes for the card.
func endpoints(cfg Config) map[string]string {
	all := map[string]string{
		"log": "POST /log", "batch": "POST /log/batch", "health": "GET /health", "queue_status": "GET /queue/status",
		"live": "GET /livez", "ready": "GET /readyz", "docs": "GET /docs", "openapi": "GET /openapi.json",
	}
	if cfg.Gatherer != nil {
		all["metrics"] = "GET /metrics"
	}
	return all
}

// health has the members of the Python service's answer, and more.
type health struct {
	Status    string `json:"status"`
	Service   string `json:"service"`
	Timestamp string `json:"timestamp"`
	RabbitMQ  string `json:"rabbitmq"`
	Version   string `json:"version"`
	Reason    string `json:"reason,omitempty"` // why no event is accepted though RabbitMQ is there
}

func (h *handler) getHealth(c *gin.Context) {
	answer := health{"healthy", "producer", formatTime(time.Now()), "connected", h.version, ""}
	status := http.StatusOK
	switch err := h.ready(c); {
	case errors.Is(err, broker.ErrBlocked):
		answer.Status, answer.RabbitMQ, answer.Reason = "unhealthy", "blocked", "RabbitMQ takes no messages: an alarm of its memory or disk is on"
	case err != nil:
		answer.Status, answer.RabbitMQ = "unhealthy", "unavailable"
	case h.refusal() != nil:
		answer.Status, answer.Reason = "unhealthy", h.refusal().Error()
	case h.publisher.Refused() != nil:
		answer.Status, answer.Reason = "unhealthy", "RabbitMQ refuses messages: the queue is full"
	}
	if answer.Status != "healthy" {
		status = http.StatusServiceUnavailable
	}
	writeValue(c, status, answer)
}

// getLive asks nobody: a broker that is away must not restart the producer.
func (h *handler) getLive(c *gin.Context) {
	writeValue(c, http.StatusOK, telemetry.Probe{Status: "alive"})
}

// getReady says "ready" while events are refused for a reason that all replicas share: a policy, a
// full queue, an alarm of RabbitMQ. A Service without endpoints would tell clients less than the
// 503 that names the reason.
func (h *handler) getReady(c *gin.Context) {
	if err := h.ready(c); err != nil && !errors.Is(err, broker.ErrBlocked) {
		writeValue(c, http.StatusServiceUnavailable, telemetry.Probe{Status: "not ready", Reason: "the message broker can't take events"})
		return
	}
	writeValue(c, http.StatusOK, telemetry.Probe{Status: "ready"})
}

// ready asks the publisher. Its reason goes to the log alone: it names addresses, and the port is
// open to every client.
func (h *handler) ready(c *gin.Context) error {
	err := h.publisher.Ready()
	if err != nil {
		h.log.DebugContext(c.Request.Context(), "not ready", "error", err)
	}
	return err
}

// getQueueStatus asks the broker for the queue's depth, in messages.
func (h *handler) getQueueStatus(c *gin.Context) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), queueTimeout)
	defer cancel()
	status, err := h.publisher.QueueStatus(ctx)
	if err != nil {
		p := newProblem(kindUnavailable, "The queue's state is not known; retry later.")
		p.cause = err
		return p
	}
	writeValue(c, http.StatusOK, struct {
		QueueName string `json:"queue_name"`
		Messages  int    `json:"messages"`
		Consumers int    `json:"consumers"`
		Timestamp string `json:"timestamp"`
	}{status.Name, status.Messages, status.Consumers, formatTime(time.Now())})
	return nil
}
