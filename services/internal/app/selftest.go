package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/retryafter"
	"github.com/trailpost/trailpost/services/internal/store"
)

// selfTestSession keeps the events of self-tests apart from those of real
// sessions, which count up from 1.
const selfTestSession = math.MaxInt64

// SelfTest posts an event to a producer and waits until it is a row of the
// trail. It returns the event's id. The event stays: the trail only grows. key is
// the API key, "" for a producer that asks for none.
func SelfTest(ctx context.Context, cfg *config.Config, producer, key string) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return id, fmt.Errorf("mint an event id: %w", err)
	}
	if err := postSelfTest(ctx, producer, key, id); err != nil {
		return id, err
	}
	database := Database(cfg)
	for {
		found, err := store.HasEvent(ctx, database, id)
		if err == nil && found {
			return id, nil
		}
		if ctx.Err() != nil {
			return id, fmt.Errorf("event %s was accepted and is no row yet: %w", id, ctx.Err())
		}
		_ = retry.Sleep(ctx, 100*time.Millisecond)
	}
}

// postSelfTest posts until the event is accepted, as a client should: always
// with the same id.
func postSelfTest(ctx context.Context, producer, key string, id uuid.UUID) error {
	body, err := json.Marshal(map[string]any{
		"session_id": int64(selfTestSession), "event_type": "system_event", "event_id": id, "username": "trailpost-selftest",
		"payload": map[string]any{"selftest": true},
	})
	if err != nil {
		return err
	}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, producer+"/log", bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("post an event: %w", err)
		}
		request.Header.Set("Content-Type", "application/json")
		if key != "" {
			request.Header.Set("Authorization", "Bearer "+key)
		}
		wait := time.Second
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusAccepted {
				return nil
			}
			err = fmt.Errorf("%s: %s", answer.Status, text)
			if !slices.Contains(transient, answer.StatusCode) {
				return fmt.Errorf("post an event: %w", err)
			}
			wait = min(max(wait, retryafter.Wait(answer.Header, time.Now())), maxSelfTestWait)
		}
		if retry.Sleep(ctx, wait) != nil {
			return fmt.Errorf("post an event: %w", err)
		}
	}
}

// transient are the statuses that the producer, or a proxy before it, answers for a moment.
var transient = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// maxSelfTestWait is the longest that Retry-After is heeded.
const maxSelfTestWait = 30 * time.Second
