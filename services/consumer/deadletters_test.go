package main

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// What chooses nothing does not choose all, and what is wrong with it is told.
func TestReplayChoices(t *testing.T) {
	v := testbed.Rabbit(t)
	for name, value := range map[string]string{
		"RABBITMQ_HOST": v.Host, "RABBITMQ_PORT": strconv.Itoa(v.Port), "RABBITMQ_VHOST": v.Name,
		"RABBITMQ_USER": v.User, "RABBITMQ_PASSWORD": v.Password, "LOG_LEVEL": "ERROR",
	} {
		t.Setenv(name, value)
	}
	t.Chdir(t.TempDir())
	now := time.Now()
	var letters []broker.Message
	for range 3 {
		id := uuid.Must(uuid.NewV7())
		e := event.Event{ID: id, SessionID: 1, Type: "user_action", Timestamp: event.IDTime(id), ReceivedAt: event.IDTime(id), Payload: []byte("{}")}
		l := deadletter.Letter{ID: id, Type: e.Type, ContentType: broker.ContentEvent, Body: event.AppendWire(nil, &e), Reason: "invalid_event_id"}
		letters = append(letters, l.Message(now))
	}
	cfg := broker.Config{Host: v.Host, Port: v.Port, User: v.User, Password: v.Password, VHost: v.Name, Queue: "log_queue", QueueType: broker.Quorum, Name: "test"}
	publisher := admin.NewConfirmingPublisher(cfg)
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), cfg.DeadQueue(), letters); err != nil {
		t.Fatal(err)
	}
	other := uuid.Must(uuid.NewV7()).String()
	for _, c := range []struct{ args, says, fails string }{
		{args: "--id=", fails: "--id must not be empty"},
		{args: "--reason=", fails: "--reason must not be empty"},
		{args: "--reason= ", fails: "--reason must not be empty"},
		{args: "--id=" + other + "x", fails: "--id must be an event_id"},
		{args: "--reason=invalid_event", says: `--reason "invalid_event" chooses none of the 3 dead events there are`},
		{args: "--id=" + other, says: "--id " + other + " chooses none of the 3 dead events there are"},
		{args: "--reason=invalid_event_id", says: "3 replayed, 0 left"},
		{args: "--reason=invalid_event_id", says: "0 replayed, 0 left"},
	} {
		var out, errs bytes.Buffer
		cmd := command()
		cmd.SetArgs([]string{"dead-letters", "replay", c.args})
		cmd.SetOut(&out)
		cmd.SetErr(&errs)
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: %v\n%s%s", c.args, err, &out, &errs)
		}
	}
}

// A script that misspells a subcommand has not replayed anything.
func TestUnknownSubcommands(t *testing.T) {
	for _, args := range [][]string{{"bogus"}, {"lists"}} {
		c := deadLetters()
		c.SetArgs(args)
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "unknown command") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
