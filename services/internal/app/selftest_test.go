package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestSelfTest(t *testing.T) {
	s := newStack(t, "PRODUCER_API_KEYS_FILE="+keysFile(t))
	producer := s.producer()
	cfg := s.config(config.ForConsumer)

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := app.SelfTest(ctx, cfg, producer.url, testKey); err == nil || !strings.Contains(err.Error(), "no row yet") {
		t.Errorf("without a consumer: %v", err)
	}
	if _, err := app.SelfTest(t.Context(), cfg, producer.url, "tp_wrong"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong key: %v", err)
	}
	s.consumer()
	id, err := app.SelfTest(t.Context(), cfg, producer.url, testKey)
	if err != nil || s.rows("event_id = $1", id.String()) != 1 {
		t.Error(id, err)
	}
}

func TestWaitForSchema(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	s := stackOn(t, db, testbed.Rabbit(t))
	cfg := s.config(config.ForConsumer)
	done := make(chan error, 1)
	log := s.logged()
	go func() { done <- app.WaitForSchema(t.Context(), cfg, s.log) }()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(log.String(), "schema") })
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if err := schema.Up(t.Context(), db.ConnConfig(db.Owner)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
