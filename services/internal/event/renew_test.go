package event_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
)

var identityKey = event.NewKey([]byte("0123456789abcdef0123456789abcdef"))

const reused = `{"session_id":123,"event_type":"user_action","payload":{"b":1,"a":["x",-0.50]},"timestamp":"2026-11-24T10:00:00.123456+00:00",` +
	`"producer_timestamp":"2026-11-24T10:00:01.000000+00:00","event_id":"019ab5bd-0000-7abc-8def-0123456789ab","username":"ada",` +
	`"received_from":"billing","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`

func renew(t *testing.T, key event.Key, line string) event.Renewed {
	t.Helper()
	r, err := key.Renew([]byte(line), noon, noon)
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return r
}

// The ids are in trails: another version of this program must find the same. They were computed by Python's hmac and
// hashlib, from what the comments in this package say.
func TestDerivedIDsAreStable(t *testing.T) {
	plain, _ := event.ParseWire([]byte(original), noon)
	keyed, _ := identityKey.ParseWire([]byte(original), noon)
	for _, tc := range []struct{ what, got, want string }{
		{"name of the key", identityKey.Name(), "3eb1bd43"},
		{"renewed", renew(t, identityKey, reused).ID.String(), "019ab5bd-0000-77c6-bff6-0da3b1bb17a1"},
		{"renewed without a key", renew(t, event.Key{}, reused).ID.String(), "019ab5bd-0000-74a0-92eb-9bb34761e04f"},
		{"a message without an id", keyed.ID.String(), "01a20d6c-7482-7bde-b99b-aa9d8be9b0e7"},
		{"a message without an id, without a key", plain.ID.String(), "01a20d6c-7482-7e83-a8e1-18edae8ae03d"},
		{"the plain id beside the key's", keyed.PlainID.String(), plain.ID.String()},
	} {
		if tc.got != tc.want {
			t.Errorf("%s is %s, want %s", tc.what, tc.got, tc.want)
		}
	}
	if plain.PlainID != uuid.Nil || event.NewKey(nil).IsSet() || (event.Key{}).Name() != "" {
		t.Error("the zero key is a key")
	}
	if given, err := identityKey.ParseWire([]byte(reused), noon); err != nil || given.PlainID != uuid.Nil {
		t.Errorf("an id that was given has another one: %+v, %v", given, err)
	}
}

// What is compared makes another id; what is not, and how it is written, doesn't.
func TestRenewedIDIsOfWhatIsCompared(t *testing.T) {
	first := renew(t, identityKey, reused)
	if first.ID.Version() != 7 || first.ID.Variant() != uuid.RFC4122 || first.FormerID != "019ab5bd-0000-7abc-8def-0123456789ab" {
		t.Errorf("%+v", first)
	}
	if former := uuid.MustParse(first.FormerID); !event.IDTime(first.ID).Equal(event.IDTime(former)) {
		t.Errorf("its time is %s, not the former one's", event.IDTime(first.ID))
	}
	if first.Username != "ada" || first.ReceivedFrom != "billing" || first.TraceParent == "" || string(first.Payload) != `{"b":1,"a":["x",-0.50]}` {
		t.Errorf("it lost something: %+v", first)
	}
	for _, same := range []struct{ from, to string }{
		{`"producer_timestamp":"2026-11-24T10:00:01`, `"producer_timestamp":"2026-11-24T10:07:09`},
		{`"received_from":"billing",`, ``},
		{`,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"`, ``},
		{`{"b":1,"a":["x",-0.50]}`, `{ "a" : ["\u0078",-5e-1], "b":1.0 }`},
		{`019ab5bd`, `019AB5BD`},
		{`"2026-11-24T10:00:00.123456+00:00"`, `"2026-11-24T11:00:00.1234569+01:00"`},
		{`"ada"`, `"\u0061da"`},
	} {
		line := strings.Replace(reused, same.from, same.to, 1)
		if line == reused || renew(t, identityKey, line).ID != first.ID {
			t.Errorf("%s makes another id", same.to)
		}
	}
	seen := map[uuid.UUID]string{first.ID: reused}
	for _, other := range []struct{ from, to string }{
		{`"session_id":123`, `"session_id":124`},
		{`user_action`, `user_actiona`}, {`"ada"`, `"adb"`}, {`,"username":"ada"`, ``},
		{`10:00:00.123456`, `10:00:00.123457`}, {`-0.50`, `-0.5000000000000000000000001`}, {`0123456789ab`, `0123456789ac`},
	} {
		line := strings.Replace(reused, other.from, other.to, 1)
		id := renew(t, identityKey, line).ID
		if seen[id] != "" {
			t.Errorf("%s is %s", other.to, seen[id])
		}
		seen[id] = line
	}
	for _, key := range []event.Key{{}, event.NewKey([]byte("0123456789abcdef0123456789abcdeg"))} {
		if renew(t, key, reused).ID == first.ID {
			t.Error("another key makes the same id")
		}
	}
}

// An id that can't be one is replaced too, by one of the producer's time.
func TestRenewReplacesAnImpossibleID(t *testing.T) {
	const producers = "2026-11-24T10:00:01Z"
	line := func(id, more string) string {
		return `{"session_id":1,"event_type":"t","producer_timestamp":"` + producers + `"` + more + `,"event_id":` + id + `}`
	}
	v7At := func(at time.Time) string {
		id := uuid.MustParse("00000000-0000-7abc-8def-0123456789ab")
		for i := range 6 {
			id[i] = byte(at.UnixMilli() >> (40 - 8*i))
		}
		return `"` + id.String() + `"`
	}
	at, _ := time.Parse(time.RFC3339, producers)
	ids := map[uuid.UUID]string{}
	for _, id := range []string{
		v7At(noon.Add(2 * time.Hour)), v7At(at.AddDate(-10, 0, 0)), `"f47ac10b-58cc-4372-a567-0e02b2c3d479"`, `"none"`, `17`, `{}`, `"\ud800"`,
	} {
		r := renew(t, identityKey, line(id, ""))
		if !event.IDTime(r.ID).Equal(at) || !r.Timestamp.Equal(at) || ids[r.ID] != "" {
			t.Errorf("%s becomes %s of %s, happened at %s", id, r.ID, event.IDTime(r.ID), r.Timestamp)
		}
		ids[r.ID] = id
		if _, err := event.ParseWire(event.AppendWire(nil, &r.Event), noon); err != nil {
			t.Errorf("%s becomes what can't be stored: %v", id, err)
		}
		// Tomorrow the first would be a time like any other; it is the same event all the same.
		if later, err := identityKey.Renew([]byte(line(id, "")), noon, noon.AddDate(0, 0, 1)); err != nil || later.ID != r.ID {
			t.Errorf("%s becomes %s a day later: %v", id, later.ID, err)
		}
	}
	for _, hopeless := range []string{
		`{"session_id":1,"event_type":"t","event_id":"none"}`,
		`{"session_id":1,"event_type":"t","producer_timestamp":"2019-01-01T00:00:00Z"}`,
		`{"session_id":1,"event_type":"t","producer_timestamp":"2030-01-01T00:00:00Z","event_id":"none"}`,
	} {
		if r, err := identityKey.Renew([]byte(hopeless), noon, noon); err == nil {
			t.Errorf("%s becomes %s", hopeless, r.ID)
		}
	}
	for _, bad := range []string{`{`, `{"event_type":"t","event_id":"none"}`, fmt.Sprintf(`{"session_id":1,"event_type":"t","payload":%s}`, strings.Repeat("[", 70))} {
		_, err := identityKey.Renew([]byte(bad), noon, noon)
		if wire := new(event.WireError); !errors.As(err, &wire) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Reading leaves a line as it is, since an id may be that of its bytes.
func TestRenewChangesNothing(t *testing.T) {
	line := []byte(strings.Replace(original, `{"k": "v"}`, "{\"k\":\n\"v\"}", 1))
	before := hex.EncodeToString(line)
	renew(t, identityKey, string(line))
	if _, err := identityKey.Renew(line, noon, noon); err != nil || hex.EncodeToString(line) != before {
		t.Errorf("%v, %q", err, line)
	}
}
