//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

// recordSource is the source of the events that records publishes.
const recordSource = "k8s/e2e"

// records publishes events that have a source and no session, which no producer of this release
// sends, to the queue. The consumers of the last release can't store them.
type records struct {
	n         *namespace
	published int
	stop      context.CancelFunc
	done      chan error
}

// startRecords publishes until stopped. Each record is confirmed before the next.
func (n *namespace) startRecords(t *testing.T) *records {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &records{n: n, stop: stop, done: make(chan error, 1)}
	password := n.secret(t, "trailpost-rabbitmq")["producer-password"]
	go func() { r.done <- r.run(ctx, password) }()
	return r
}

// end stops to publish, and says how many records there are.
func (r *records) end(t *testing.T) int {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	return r.published
}

func (r *records) run(ctx context.Context, password string) error {
	var last error
	for ctx.Err() == nil {
		if err := r.session(ctx, password); err != nil {
			last = err
		}
		select { // RabbitMQ is killed and restarted here
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	if r.published == 0 {
		return fmt.Errorf("no record was published: %w", last)
	}
	return nil
}

// session publishes on one connection, as long as that lasts. A record whose confirm did not come
// is published again: it may be there already.
func (r *records) session(ctx context.Context, password string) error {
	port, stop, err := r.n.forward(ctx, "trailpost-rabbitmq-0", 5672)
	if err != nil {
		return err
	}
	defer stop()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	conn, err := amqp.DialConfig("amqp://"+address+"/", amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "producer", Password: password}}, Heartbeat: 5 * time.Second,
		Dial: amqp.DefaultDial(10 * time.Second),
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	for {
		for _, message := range recordMessages(r.published) {
			// A record that has begun is ended, or it would be there and not be counted.
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			confirm, err := channel.PublishWithDeferredConfirmWithContext(limit, "", "log_queue", true, false, message)
			if err != nil {
				cancel()
				return err
			}
			confirmed, err := confirm.WaitContext(limit)
			cancel()
			if err != nil || !confirmed {
				return errors.Join(errors.New("a record was not confirmed"), err)
			}
		}
		r.published++
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// recordMessages are the messages of a record. One in three has an id of its own time. The others
// have a key, and two attempts of the sender: a message each, or two lines of a group.
func recordMessages(record int) []amqp.Publishing {
	now := time.Now().UTC()
	key := sha256.Sum256(fmt.Appendf(nil, "record %d", record))
	line := func(at time.Time, attempt int, keyed bool) (id, body string) {
		var bits [16]byte
		copy(bits[6:], key[:])
		ms := at.UnixMilli()
		for i := range 6 {
			bits[5-i] = byte(ms >> (8 * i))
		}
		bits[6], bits[8] = bits[6]&0x0f|0x70, bits[8]&0x3f|0x80
		id = uuid.UUID(bits).String()
		event := map[string]any{
			"event_id": id, "event_type": "k8s.get.pods", "source": recordSource, "source_id": strconv.Itoa(record),
			"producer_timestamp": at.Format(time.RFC3339Nano), "timestamp": at.Format(time.RFC3339Nano),
			"payload": map[string]any{"record": record, "unsigned": attempt},
		}
		if keyed {
			event["event_key"] = hex.EncodeToString(key[:])
		}
		text, err := json.Marshal(event)
		if err != nil {
			panic(err)
		}
		return id, string(text)
	}
	message := func(id, body, contentType string, events int) amqp.Publishing {
		return amqp.Publishing{
			DeliveryMode: amqp.Persistent, ContentType: contentType, MessageId: id, Type: "k8s.get.pods", Body: []byte(body),
			Headers: amqp.Table{"events": int32(events), "identity": "0badcafe"},
		}
	}
	if record%3 == 0 {
		id, body := line(time.Date(2026, 1, 1, 0, 0, record, 0, time.UTC), 1, false)
		return []amqp.Publishing{message(id, body, "application/json", 1)}
	}
	id, first := line(now.Add(-time.Second), 1, true)
	later, second := line(now, 2, true)
	if record%3 == 1 {
		return []amqp.Publishing{message(id, first, "application/json", 1), message(later, second, "application/json", 1)}
	}
	return []amqp.Publishing{message(id, first+"\n"+second+"\n", "application/x-ndjson", 2)}
}

// waitDeadRecords waits for dead letters, which the consumers of the last release make of records.
func (n *namespace) waitDeadRecords(t *testing.T, atLeast int) {
	t.Helper()
	eventually(t, 3*time.Minute, fmt.Sprintf("%d records are dead letters", atLeast), func(ctx context.Context) (bool, error) {
		queues, err := n.queues(ctx)
		return queues["log_queue.dead"] >= atLeast, err
	})
}

// replayRecords replays all dead letters, which must be records.
func (n *namespace) replayRecords(t *testing.T) {
	t.Helper()
	pod := n.podOf(t, "consumer")
	list, err := n.exec(t.Context(), pod, "consumer", "/consumer", "dead-letters", "list", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	letters := 0
	for line := range strings.Lines(list) {
		var letter struct{ Source, Reason string }
		if err := json.Unmarshal([]byte(line), &letter); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if letter.Source != recordSource || letter.Reason != "invalid_event" {
			t.Errorf("a dead letter of something else: %s", line)
		}
		letters++
	}
	t.Logf("%d dead letters of records", letters)
	if _, err := n.exec(t.Context(), pod, "consumer", "/consumer", "dead-letters", "replay"); err != nil {
		t.Fatal(err)
	}
}

// storedRecords wants each record to be one row.
func (n *namespace) storedRecords(t *testing.T, want int) {
	t.Helper()
	var rows, different int
	eventually(t, 3*time.Minute, fmt.Sprintf("%d records are rows", want), func(ctx context.Context) (bool, error) {
		err := n.query(ctx, t, func(r pgx.Rows) error { return r.Scan(&rows, &different) },
			"SELECT count(*), count(DISTINCT payload -> 'record') FROM log_events WHERE source = $1 AND session_id IS NULL", recordSource)
		if err != nil {
			return false, err
		}
		queues, err := n.queues(ctx)
		return different >= want && queues["log_queue"] == 0, err
	})
	if rows != want || different != want {
		t.Errorf("%d rows of %d records, want %d of each", rows, different, want)
	}
}
