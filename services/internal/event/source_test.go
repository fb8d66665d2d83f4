package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const doorID = "01936f3e-8a00-7c1d-9b2e-3f4a5b6c7d8e"

// doorLine is the line of an event with a source; more are members.
func doorLine(more string) string {
	return `{"event_type":"log","producer_timestamp":"2024-11-27T16:00:00Z","event_id":"` + doorID + `"` + more + `}`
}

func TestSourceTravels(t *testing.T) {
	key := strings.Repeat("0aF9", 16)
	line := doorLine(`,"payload":{"n":1},"username":"x","source":"in/git","source_id":"41","event_key":"` + key + `","natural_id_is_bytes":true`)
	e, err := ParseWire([]byte(line), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := Source{Name: "in/git", ID: "41", EventKey: bytes.Repeat([]byte{0x0a, 0xf9}, 16), NaturalIDIsBytes: true}
	if s := e.Source; s == nil || s.Name != want.Name || s.ID != want.ID || !bytes.Equal(s.EventKey, want.EventKey) || !s.NaturalIDIsBytes {
		t.Fatalf("%+v, want %+v", e.Source, want)
	}
	if e.SessionID != 0 || e.Username != "x" {
		t.Errorf("session %d, user %q", e.SessionID, e.Username)
	}
	wire := AppendWire(nil, &e)
	if strings.Contains(string(wire), "session_id") {
		t.Errorf("an event without a session says one: %s", wire)
	}
	again, err := ParseWire(wire, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if twice := AppendWire(nil, &again); !bytes.Equal(twice, wire) {
		t.Errorf("%s became %s", wire, twice)
	}
}

func TestSourceIsRefused(t *testing.T) {
	key := strings.Repeat("0", 64)
	for more, want := range map[string]string{
		`,"source":"in/a","session_id":1`:                 "session_id: must be absent",
		`,"source":"in/a","session_id":"x"`:               "session_id: must be absent",
		`,"source":""`:                                    "source: must have 1 character",
		`,"source":1`:                                     "source: must be a string",
		`,"source":"in/a","source_id":1`:                  "source_id: must be a string",
		`,"source":"in/a","event_key":"` + key[1:] + `"`:  "event_key: must have 64",
		`,"source":"in/a","event_key":"` + key[1:] + `g"`: "event_key: must have 64",
		`,"source":"in/a","natural_id_is_bytes":1`:        "natural_id_is_bytes: must be true or false",
		`,"session_id":1,"source_id":"x"`:                 "source_id: must be absent where there is no source",
		`,"session_id":1,"event_key":"` + key + `"`:       "event_key: must be absent where there is no source",
		`,"session_id":1,"natural_id_is_bytes":true`:      "natural_id_is_bytes: must be absent where there is no source",
		``: "session_id: is required",
	} {
		_, err := ParseWire([]byte(doorLine(more)), time.Now())
		var wire *WireError
		if !errors.As(err, &wire) || wire.Reason != ReasonInvalidEvent || !strings.Contains(wire.Detail, want) {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
}

// TestClientsHaveNoSource: whoever posts to /log can't give an event a source.
func TestClientsHaveNoSource(t *testing.T) {
	body := `{"session_id":1,"event_type":"x","source":"k8s/a","source_id":"1","event_key":"` + strings.Repeat("0", 64) + `","natural_id_is_bytes":true}`
	e, ignored, err := new(Parser).Parse([]byte(body), Origin{})
	if err != nil || e.Source != nil {
		t.Fatalf("%+v, %v", e.Source, err)
	}
	if got := strings.Join(ignored, " "); got != "source source_id event_key natural_id_is_bytes" {
		t.Errorf("ignored: %s", got)
	}
}

func TestTooLongIsCut(t *testing.T) {
	long := strings.Repeat("é", 300)
	sum := sha256.Sum256([]byte(long))
	end := "~" + hex.EncodeToString(sum[:16])
	quoted := `"` + long + `"`
	line := `{"event_type":` + quoted + `,"username":` + quoted + `,"source":` + quoted + `,"source_id":` + quoted +
		`,"event_id":"` + doorID + `","payload":{"a":1}}`
	e, err := ParseWire([]byte(line), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		text  string
		chars int
	}{
		"event_type": {e.Type, MaxTypeChars}, "username": {e.Username, MaxUsernameChars},
		"source": {e.Source.Name, MaxSourceChars}, "source_id": {e.Source.ID, MaxSourceChars},
	} {
		if want := long[:2*(one.chars-len(end))] + end; one.text != want || utf8.RuneCountInString(one.text) != one.chars {
			t.Errorf("%s: %s, want %s", name, one.text, want)
		}
	}
	var payload struct {
		A   int
		Own map[string]string `json:"_trailpost"`
	}
	if err := json.Unmarshal(e.Payload, &payload); err != nil {
		t.Fatalf("%v: %s", err, e.Payload)
	}
	if payload.A != 1 || len(payload.Own) != 4 {
		t.Fatalf("payload %s", e.Payload)
	}
	for name, text := range payload.Own {
		if text != long {
			t.Errorf("%s is not whole: %s", name, text)
		}
	}
	again, err := ParseWire(AppendWire(nil, &e), time.Now())
	if err != nil || !bytes.Equal(again.Payload, e.Payload) || again.Type != e.Type {
		t.Errorf("cut twice: %v %s", err, again.Payload)
	}
	// The same line from a client of /log's is refused, as before.
	if _, err := ParseWire([]byte(strings.Replace(line, `"source":`+quoted+`,"source_id":`+quoted, `"session_id":1`, 1)), time.Now()); err == nil {
		t.Error("a long event_type without a source was taken")
	}
}

func TestWholesAreKept(t *testing.T) {
	c := cuts{{"username", []byte(`a"b`)}, {"source", []byte("c")}}
	for payload, want := range map[string]string{
		`{}`:                              `{"_trailpost":{"username":"a\"b","source":"c"}}`,
		`{ "x" : 1 }`:                     `{ "x" : 1 ,"_trailpost":{"username":"a\"b","source":"c"}}`,
		`{"_trailpost":{},"x":1}`:         `{"_trailpost":{"username":"a\"b","source":"c"},"x":1}`,
		`{"\u005ftrailpost":{"raw":"}"}}`: `{"\u005ftrailpost":{"raw":"}","username":"a\"b","source":"c"}}`,
		`{"_trailpost":7}`:                `{"_trailpost":{"_trailpost":"7","username":"a\"b","source":"c"}}`,
		`{"_trailpost":{"source":"d"}}`:   `{"_trailpost":{"_trailpost":"{\"source\":\"d\"}","username":"a\"b","source":"c"}}`,
	} {
		if got := string(c.keepIn([]byte(payload))); got != want {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
	if got := string(withoutUncompared([]byte(`{"unsigned":{"_trailpost":1},"a":{"unsigned":2},"_trailpost":[],"b":3}`))); got != `{"a":{"unsigned":2},"b":3}` {
		t.Errorf("without what is not compared: %s", got)
	}
}

// TestWholesAreNoDeeper: what can be read can be read again.
func TestWholesAreNoDeeper(t *testing.T) {
	deep := strings.Repeat(`{"a":`, MaxDepth-1) + "1" + strings.Repeat("}", MaxDepth-1)
	for _, own := range []string{`[` + deep[5:len(deep)-1] + `]`, deep} {
		line := doorLine(`,"source":"in/a","username":"` + strings.Repeat("u", 300) + `","payload":{"_trailpost":` + own + `}`)
		e, err := ParseWire([]byte(line), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseWire(AppendWire(nil, &e), time.Now()); err != nil {
			t.Errorf("%.60s: %v", own, err)
		}
	}
}

func TestOwnTimeID(t *testing.T) {
	at := time.Date(2020, 5, 6, 7, 8, 9, 123456000, time.UTC)
	e := Event{Timestamp: at, Source: &Source{Name: "in/a", EventKey: bytes.Repeat([]byte{0xff}, EventKeyBytes)}}
	if id := e.OwnTimeID(); !IDTime(id).Equal(at.Truncate(time.Millisecond)) || !strings.HasSuffix(id.String(), "-7fff-bfff-ffffffffffff") {
		t.Errorf("%s", id)
	}
	e.Source.EventKey = nil
	if id := e.OwnTimeID(); id != uuid.Nil {
		t.Errorf("without a key: %s", id)
	}
}

// TestRenewedHasNoKey: a new id is another event's, and so no key of the former one goes with it;
// what two attempts may differ in makes no difference to it.
func TestRenewedHasNoKey(t *testing.T) {
	renew := func(more string) Renewed {
		t.Helper()
		r, err := Key{}.Renew([]byte(doorLine(`,"source":"in/a","event_key":"`+strings.Repeat("0", 64)+`","natural_id_is_bytes":true`+more)), time.Time{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := renew(`,"payload":{"a":1,"unsigned":1}`)
	if r.Source == nil || r.Source.Name != "in/a" || r.Source.EventKey != nil || r.Source.NaturalIDIsBytes {
		t.Errorf("%+v", r.Source)
	}
	if other := renew(`,"payload":{"_trailpost":{},"a":1.0}`); other.ID != r.ID {
		t.Errorf("another attempt has another id: %s, %s", r.ID, other.ID)
	}
	for _, more := range []string{`,"payload":{"a":2}`, `,"payload":{"a":1},"source_id":"x"`} {
		if other := renew(more); other.ID == r.ID {
			t.Errorf("%s has the same id", more)
		}
	}
}
