package deadletter_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// The test binary is also a list or a replay that the tests can kill.
const (
	roleVariable   = "TRAILPOST_TEST_ROLE"
	brokerVariable = "TRAILPOST_TEST_BROKER"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := work(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testbed.Main(m)
}

// work lists or replays, says so line by line, and stops in the middle: after 40 entries, or
// after the first replays that are safe.
func work(role string) error {
	var cfg broker.Config
	if err := json.Unmarshal([]byte(os.Getenv(brokerVariable)), &cfg); err != nil {
		return err
	}
	n := 0
	stand := func(id string) error {
		fmt.Println(id)
		if n++; n == 40 {
			select {}
		}
		return nil
	}
	if role == "list" {
		return deadletter.List(context.Background(), cfg, event.Key{}, func(e deadletter.Entry) error { return stand(e.EventID) })
	}
	progress := func(events int) {
		for range events {
			_ = stand("replayed")
		}
	}
	return deadletter.Replay(context.Background(), cfg, deadletter.ReplayOptions{Progress: progress}, func(deadletter.Replayed) error { return nil })
}

type fixture struct {
	*testing.T
	cfg   broker.Config
	vhost testbed.Vhost
	ch    *amqp.Channel
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	return setUpType(t, broker.Quorum)
}

func setUpType(t *testing.T, queueType broker.QueueType) *fixture {
	t.Helper()
	return setUpOn(t, testbed.Rabbit(t), queueType)
}

func setUpOn(t *testing.T, v testbed.Vhost, queueType broker.QueueType) *fixture {
	t.Helper()
	f := &fixture{T: t, vhost: v, cfg: broker.Config{
		Host: v.Host, Port: v.Port, User: v.User, Password: v.Password, VHost: v.Name, Queue: "log_queue", QueueType: queueType, Name: "test",
	}}
	conn, err := amqp.Dial(v.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if f.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	// A publisher declares the queues.
	f.publish(f.cfg.Queue)
	return f
}

func (f *fixture) publish(queue string, messages ...broker.Message) {
	f.Helper()
	o := admin.NewConfirmingPublisher(f.cfg)
	defer o.Close()
	// Even nothing connects; what is published to .dead is confirmed.
	if len(messages) == 0 {
		messages = []broker.Message{{Body: []byte("x"), ContentType: "text/plain"}}
		defer f.drain(queue)
	}
	if err := o.Publish(f.Context(), queue, messages); err != nil {
		f.Fatal(err)
	}
}

// drain takes what is on a queue.
func (f *fixture) drain(queue string) (all []amqp.Delivery) {
	f.Helper()
	for {
		d, ok, err := f.ch.Get(queue, true)
		if err != nil {
			f.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, d)
	}
}

// list lists what nobody else holds.
func (f *fixture) list() (all []deadletter.Entry) {
	f.Helper()
	err := deadletter.List(f.Context(), f.cfg, event.Key{}, func(e deadletter.Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil && !errors.Is(err, deadletter.ErrOthers) {
		f.Fatal(err)
	}
	return all
}

func (f *fixture) replay(opts deadletter.ReplayOptions) (all []deadletter.Replayed) {
	f.Helper()
	err := deadletter.Replay(f.Context(), f.cfg, opts, func(r deadletter.Replayed) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return all
}

func (f *fixture) eventually(what string, holds func() bool) {
	f.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			f.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func newEvent(n int) event.Event {
	id := uuid.Must(uuid.NewV7())
	return event.Event{ID: id, SessionID: 1, Type: "user_action", Timestamp: event.IDTime(id), ReceivedAt: event.IDTime(id),
		Payload: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// letters are n dead letters of one event each.
func letters(n int, reason string) (messages []broker.Message, ids []string) {
	for i := range n {
		e := newEvent(i)
		l := deadletter.Letter{ID: e.ID, Type: e.Type, ContentType: broker.ContentEvent, Body: event.AppendWire(nil, &e), Reason: reason, SQLState: "22P05"}
		messages = append(messages, l.Message(time.Now()))
		ids = append(ids, e.ID.String())
	}
	return messages, ids
}

// group is a message of n events.
func group(n int) (m broker.Message, ids []string) {
	var lines []string
	for i := range n {
		e := newEvent(i)
		lines = append(lines, string(event.AppendWire(nil, &e)))
		ids = append(ids, e.ID.String())
	}
	return broker.Message{ContentType: broker.ContentGroup, Headers: map[string]any{broker.HeaderEvents: int32(n)},
		Body: []byte(strings.Join(lines, "\n"))}, ids
}

// idsOf are sorted, since returned messages may change places.
func idsOf(entries []deadletter.Entry) (ids []string) {
	for _, e := range entries {
		ids = append(ids, e.EventID)
	}
	slices.Sort(ids)
	return ids
}

func TestListingFiftyTimesLosesNothing(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(30, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	for range 50 {
		f.eventually("all are listed", func() bool { return slices.Equal(idsOf(f.list()), ids) })
	}
	e := f.list()[0]
	if e.Reason != "rejected_by_database" || e.SQLState != "22P05" || e.FirstTime.IsZero() || !e.LastTime.Equal(e.FirstTime) || e.SessionID != 1 || e.Group != 0 {
		t.Errorf("%+v", e)
	}
}

// spawn starts a list or a replay, and waits until it stands half-way.
func (f *fixture) spawn(role string) *exec.Cmd {
	f.Helper()
	self, err := os.Executable()
	if err != nil {
		f.Fatal(err)
	}
	cfg, err := json.Marshal(f.cfg)
	if err != nil {
		f.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, brokerVariable+"="+string(cfg))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for range 40 {
		if !lines.Scan() {
			f.Fatal("the process ended by itself")
		}
	}
	return cmd
}

func TestAKilledListLosesNothing(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(100, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	cmd := f.spawn("list")
	if n := len(f.list()); n == 100 {
		t.Error("the list holds nothing: its end would prove nothing")
	}
	_ = cmd.Process.Kill()
	f.eventually("all are there", func() bool { return slices.Equal(idsOf(f.list()), ids) })
}

func TestAKilledReplayLosesNothing(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(250, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	_ = f.spawn("replay").Process.Kill()
	found := map[string]bool{}
	queued := 0
	f.eventually("each is on the queue or dead", func() bool {
		for _, d := range f.drain(f.cfg.Queue) {
			found[d.MessageId] = true
			queued++
		}
		for _, e := range f.list() {
			found[e.EventID] = true
		}
		return len(found) == len(ids)
	})
	if queued == 0 || queued == len(ids) {
		t.Errorf("%d were replayed: it was not killed half-way", queued)
	}
	// And what is left can be replayed.
	f.eventually("the rest is replayed", func() bool {
		f.replay(deadletter.ReplayOptions{})
		return len(f.list()) == 0
	})
}

// What the broker itself dead-letters is listed event by event, and can be
// replayed in part.
func TestAGroupThatTheBrokerDeadLettered(t *testing.T) {
	f := setUp(t)
	m, ids := group(5)
	f.publish(f.cfg.Queue, m)
	d, ok, err := f.ch.Get(f.cfg.Queue, false)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := d.Reject(false); err != nil {
		t.Fatal(err)
	}
	f.eventually("the broker moves it", func() bool { return len(f.list()) == 5 })
	for i, e := range f.list() {
		if e.EventID != ids[i] || e.Reason != "rejected" || e.Group != 5 || e.FirstTime.IsZero() || e.EventType != "user_action" {
			t.Errorf("%+v", e)
		}
	}

	// A part: the chosen one is on the queue, alone, the others are dead still, for the same
	// reason.
	if replayed := f.replay(deadletter.ReplayOptions{ID: ids[2]}); len(replayed) != 1 {
		t.Fatalf("%+v", replayed)
	}
	queued := f.drain(f.cfg.Queue)
	if len(queued) != 1 || queued[0].MessageId != ids[2] || queued[0].ContentType != broker.ContentEvent || queued[0].Headers["events"] != int32(1) {
		t.Errorf("%d on the queue: %+v", len(queued), queued)
	}
	rest := f.list()
	if want := slices.Concat(ids[:2], ids[3:]); !slices.Equal(idsOf(rest), want) {
		t.Errorf("left %q, want %q", idsOf(rest), want)
	}
	for _, e := range rest {
		if e.Reason != "rejected" || e.Group != 0 || e.FirstTime.IsZero() {
			t.Errorf("%+v", e)
		}
	}
}

func TestAWholeGroupIsReplayedAsOne(t *testing.T) {
	for _, tc := range []struct {
		queueType broker.QueueType
		messages  int
	}{{broker.Quorum, 1}, {broker.Classic, 5}} { // the Python service's consumer reads no groups
		t.Run(string(tc.queueType), func(t *testing.T) {
			f := setUpType(t, tc.queueType)
			m, _ := group(5)
			f.publish(f.cfg.DeadQueue(), m)
			if replayed := f.replay(deadletter.ReplayOptions{}); len(replayed) != 5 {
				t.Fatalf("%+v", replayed)
			}
			queued := f.drain(f.cfg.Queue)
			if len(queued) != tc.messages || len(f.list()) != 0 {
				t.Errorf("%d messages on the queue, %d dead", len(queued), len(f.list()))
			}
			if tc.messages == 1 && (string(queued[0].Body) != string(m.Body) || queued[0].ContentType != broker.ContentGroup || queued[0].Headers["events"] != int32(5)) {
				t.Errorf("%+v", queued[0])
			}
		})
	}
}

func TestReplayChoosesByReason(t *testing.T) {
	f := setUp(t)
	first, firstIDs := letters(150, "rejected_by_database")
	second, secondIDs := letters(120, "invalid_event_id")
	for i := range first {
		f.publish(f.cfg.DeadQueue(), first[i:i+1]...)
		if i < len(second) {
			f.publish(f.cfg.DeadQueue(), second[i:i+1]...)
		}
	}
	if n := len(f.replay(deadletter.ReplayOptions{Reason: "invalid_event_id"})); n != len(second) {
		t.Errorf("%d replayed", n)
	}
	var queued []string
	for _, d := range f.drain(f.cfg.Queue) {
		queued = append(queued, d.MessageId)
		if d.Headers[deadletter.HeaderReplays] != int64(1) || d.Headers[deadletter.HeaderFirst] == nil || d.Headers[deadletter.HeaderReason] != nil {
			t.Fatalf("headers %v", d.Headers)
		}
	}
	if !slices.Equal(queued, secondIDs) {
		t.Errorf("%d on the queue", len(queued))
	}
	f.eventually("the others are dead still", func() bool { return slices.Equal(idsOf(f.list()), firstIDs) })
}

// TestReplayOfALetterThatIsTooLarge: the broker takes less than it did when the letter was written.
// It stays, and keeps no other.
func TestReplayOfALetterThatIsTooLarge(t *testing.T) {
	s := testbed.PrivateServers(t)
	f := setUpOn(t, s.Vhost(t), broker.Quorum)
	messages, ids := letters(40, deadletter.ReasonIDReused)
	e, err := event.ParseWire(messages[20].Body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e.Payload = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", 100_000))
	messages[20].Body = event.AppendWire(nil, &e)
	f.publish(f.cfg.DeadQueue(), messages...)
	err = s.Rabbit.Eval(t.Context(), "ok = application:set_env(rabbit, max_message_size, 65536), ok = persistent_term:put(max_message_size, 65536)")
	if err != nil {
		t.Fatal(err)
	}
	replayed := f.replay(deadletter.ReplayOptions{})
	if len(replayed) != len(ids) {
		t.Errorf("%d were chosen", len(replayed))
	}
	for i, r := range replayed {
		if tooLarge := new(broker.TooLargeError); errors.As(r.Left, &tooLarge) != (i == 20) {
			t.Errorf("letter %d: %v", i, r.Left)
		}
	}
	queued := map[string]bool{}
	for _, d := range f.drain(f.cfg.Queue) {
		queued[d.MessageId] = true // those before the large one twice, perhaps
	}
	if len(queued) != len(ids)-1 || queued[ids[20]] {
		t.Errorf("%d are on the queue", len(queued))
	}
	f.eventually("the large one is dead still", func() bool { return slices.Equal(idsOf(f.list()), ids[20:21]) })
}

func TestANewIDKeepsTheFormerOne(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(1, deadletter.ReasonIDReused)
	unreadable := deadletter.Letter{Body: []byte("{"), ContentType: broker.ContentEvent, Reason: event.ReasonInvalidJSON}
	f.publish(f.cfg.DeadQueue(), append(messages, unreadable.Message(time.Now()))...)

	replayed := f.replay(deadletter.ReplayOptions{NewID: true})
	if len(replayed) != 2 || replayed[0].Left != nil || replayed[1].Left == nil {
		t.Fatalf("%+v", replayed)
	}
	queued := f.drain(f.cfg.Queue)
	if len(queued) != 1 || queued[0].Headers[deadletter.HeaderFormerID] != ids[0] || queued[0].MessageId != replayed[0].NewID {
		t.Fatalf("%+v", queued)
	}
	before, err := event.ParseWire(messages[0].Body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	after, err := event.ParseWire(queued[0].Body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if after.ID == before.ID || !after.Timestamp.Equal(before.Timestamp) || string(after.Payload) != string(before.Payload) {
		t.Errorf("%+v became %+v", before, after)
	}
	f.eventually("what can't be read stays", func() bool { return len(f.list()) == 1 })
}

func TestListWithoutAQueueSaysSo(t *testing.T) {
	f := setUp(t)
	f.cfg.Queue = "other"
	err := deadletter.List(t.Context(), f.cfg, event.Key{}, func(deadletter.Entry) error { return errors.New("an entry of nothing") })
	if err == nil || !strings.Contains(err.Error(), "other.dead") {
		t.Error(err)
	}
}

// A replay names the identity key that the message named, or its own where it has derived an id.
func TestAReplayNamesTheIdentityKey(t *testing.T) {
	key := event.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	for _, newID := range []bool{false, true} {
		f := setUp(t)
		messages, _ := letters(1, deadletter.ReasonIDReused)
		messages[0].Headers[broker.HeaderIdentity] = "0badcafe"
		f.publish(f.cfg.DeadQueue(), messages...)
		f.replay(deadletter.ReplayOptions{NewID: newID, Key: key})
		want := "0badcafe"
		if newID {
			want = key.Name()
		}
		if queued := f.drain(f.cfg.Queue); len(queued) != 1 || queued[0].Headers[broker.HeaderIdentity] != want {
			t.Errorf("%+v, want the identity key %s", queued, want)
		}
	}
}

// Headers that somebody else wrote into a message don't get into its letter.
func TestALetterCarriesItsOwnHeadersAlone(t *testing.T) {
	ours := map[string]any{
		deadletter.HeaderFirst: "2026-11-24T12:00:00.000000Z", deadletter.HeaderReplays: int64(2),
		deadletter.HeaderFormerID: "01a20d6d-5a00-7abc-8def-0123456789ab", broker.HeaderIdentity: "0badcafe",
	}
	letter := deadletter.Letter{Reason: "r", Detail: "d", Carried: ours}
	for name, want := range ours {
		if got := letter.Message(time.Now()).Headers[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	letter.Carried = map[string]any{
		deadletter.HeaderFirst: amqp.Table{"a": "b"}, deadletter.HeaderReplays: "2", deadletter.HeaderFormerID: strings.Repeat("x", 130_000),
		broker.HeaderIdentity: "0badcaf", deadletter.HeaderReason: "forged", "x-other": int32(1),
	}
	headers := letter.Message(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)).Headers
	want := map[string]any{
		deadletter.HeaderReason: "r", deadletter.HeaderDetail: "d",
		deadletter.HeaderFirst: "2026-11-24T12:00:00.000000Z", deadletter.HeaderLast: "2026-11-24T12:00:00.000000Z",
	}
	if !maps.Equal(headers, want) {
		t.Errorf("headers %v, want %v", headers, want)
	}
}
