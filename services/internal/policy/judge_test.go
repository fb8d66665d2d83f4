package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Arguments as package broker declares them.
const (
	queueArguments = `{"x-queue-type":"quorum","x-dead-letter-exchange":"","x-dead-letter-routing-key":"log_queue.dead","x-dead-letter-strategy":"at-least-once","x-overflow":"reject-publish"}`
	deadArguments  = `{"x-queue-type":"quorum","x-delivery-limit":2000000000}`
)

// judged reads an answer of the API and judges it: "key effect" of each finding, in order.
func judged(t *testing.T, name, kind, arguments, effective, limit string) []string {
	t.Helper()
	body := fmt.Sprintf(`{"name":%q,"type":%q,"arguments":%s,"effective_policy_definition":%s,"policy":"theirs","operator_policy":null,"delivery_limit":%s}`,
		name, kind, arguments, effective, limit)
	if !json.Valid([]byte(body)) {
		t.Fatal(body)
	}
	q, told, err := parseQueue([]byte(body))
	if err != nil || !told {
		t.Fatalf("%s: %v, told: %v", body, err, told)
	}
	found := map[string]Effect{}
	for _, f := range Judge(&q, "log_queue.dead") {
		found[f.Key] = f.Effect
		if !strings.Contains(f.Reason, name) || !strings.Contains(f.Reason, f.By) || f.Queue != name {
			t.Errorf("%+v does not say what of", f)
		}
	}
	var list []string
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, key+" "+string(found[key]))
	}
	return list
}

// What somebody else has declared, and keeps nothing.
func TestJudgeKinds(t *testing.T) {
	for _, name := range []string{"log_queue", "log_queue.dead"} {
		for body, want := range map[string]string{
			`"type":"classic","durable":true,"auto_delete":false`: "",
			`"type":"classic"`: "",
			`"type":"classic","durable":false,"auto_delete":false`: "durable drops",
			`"type":"classic","durable":true,"auto_delete":true`:   "auto-delete drops",
			`"type":"stream","durable":true,"auto_delete":false`:   "type drops",
		} {
			q, _, err := parseQueue([]byte(`{"name":"` + name + `",` + body + `,"arguments":{},"effective_policy_definition":{}}`))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range Judge(&q, "log_queue.dead") {
				got = append(got, f.Key+" "+string(f.Effect))
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%s, %s: %q, want %q", name, body, got, want)
			}
		}
	}
}

// Each was seen on 3.10.8 and 4.3.6 unless it says otherwise.
func TestJudge(t *testing.T) {
	const queue, dead, none = "log_queue", "log_queue.dead", "null"
	for _, c := range []struct {
		queue, kind, arguments, effective, limit string
		want                                     string
	}{
		// as we declare them, and nobody's policies
		{queue, "quorum", queueArguments, `{}`, none, ""},
		{queue, "quorum", queueArguments, `[]`, none, ""},
		{queue, "quorum", queueArguments, `{}`, "20", "delivery-limit dead_letters"}, // 4.3's default
		{queue, "quorum", queueArguments, `{"delivery-limit":1000,"consumer-timeout":21600000,"max-length-bytes":8589934592}`, "1000", ""},
		{dead, "quorum", deadArguments, `{}`, "2000000000", ""},
		{queue, "classic", `{}`, `{}`, none, ""},
		{dead, "classic", `{}`, `{}`, none, ""},

		// length: a quorum queue listens to the policy's overflow first, a classic one to its
		// argument's
		{queue, "quorum", queueArguments, `{"max-length":5}`, none, ""},
		{queue, "quorum", queueArguments, `{"max-length":5,"overflow":"drop-head"}`, none, "dead-letter-strategy dead_letters,max-length drops"},
		{queue, "quorum", queueArguments, `{"max-length-bytes":5,"overflow":"reject-publish-dlx"}`, none, "dead-letter-strategy dead_letters,max-length-bytes drops"},
		{queue, "quorum", queueArguments, `{"overflow":"drop-head"}`, none, "dead-letter-strategy dead_letters"},
		{queue, "classic", `{}`, `{"max-length":5}`, none, "max-length drops"},
		{queue, "classic", `{}`, `{"max-length":5,"overflow":"reject-publish"}`, none, ""},
		{queue, "classic", `{}`, `{"max-length":5,"overflow":"reject-publish-dlx"}`, none, ""},
		{queue, "classic", `{"x-overflow":"reject-publish"}`, `{"max-length":5,"overflow":"drop-head"}`, none, ""},
		{queue, "classic", `{"x-max-length":5}`, `{}`, none, "max-length drops"},
		{dead, "quorum", deadArguments, `{"max-length":2}`, none, "max-length drops"},
		{dead, "quorum", deadArguments, `{"max-length-bytes":2000}`, none, "max-length-bytes drops"},
		{dead, "quorum", deadArguments, `{"max-length":2,"overflow":"reject-publish"}`, none, "max-length refuses"},
		{dead, "classic", `{}`, `{"max-length":2,"overflow":"drop-head"}`, none, "max-length drops"},

		// time
		{queue, "quorum", queueArguments, `{"message-ttl":60000}`, none, "message-ttl drops"},
		{queue, "quorum", queueArguments, `{"message-ttl":0}`, none, "message-ttl drops"},
		{queue, "classic", `{"x-message-ttl":60000}`, `{}`, none, "message-ttl drops"},
		{queue, "quorum", queueArguments, `{"expires":60000}`, none, "expires drops"},
		{dead, "quorum", deadArguments, `{"message-ttl":60000,"expires":60000}`, none, "expires drops,message-ttl drops"},

		// returns
		{queue, "quorum", queueArguments, `{"delivery-limit":3}`, none, "delivery-limit dead_letters"},
		{queue, "quorum", queueArguments, `{"delivery-limit":100}`, "100", ""},
		{queue, "quorum", queueArguments, `{"delivery-limit":-1}`, `"unlimited"`, ""},
		{queue, "quorum", queueArguments, `{"delivery-limit":0}`, none, "delivery-limit dead_letters"},
		{queue, "quorum", `{"x-queue-type":"quorum"}`, `{}`, "20", "delivery-limit drops"},
		{queue, "classic", `{}`, `{"delivery-limit":3}`, none, ""},
		{dead, "quorum", deadArguments, `{"delivery-limit":1000}`, none, "delivery-limit drops"},
		{dead, "quorum", deadArguments, `{"delivery-limit":1000000}`, "1000000", ""},
		{dead, "quorum", `{"x-queue-type":"quorum"}`, `{}`, "20", "delivery-limit drops"}, // somebody else's declaration
		{dead, "classic", `{}`, `{"delivery-limit":3}`, none, ""},
		{queue, "quorum", queueArguments, `{"consumer-timeout":60000}`, none, "consumer-timeout dead_letters"}, // 4.3
		{queue, "quorum", queueArguments, `{"consumer-timeout":1800000}`, none, ""},

		// where the broker dead-letters: our arguments are before a policy
		{queue, "quorum", queueArguments, `{"dead-letter-exchange":"theirs","dead-letter-routing-key":"x","dead-letter-strategy":"at-most-once"}`, none, ""},
		{queue, "quorum", `{"x-queue-type":"quorum"}`, `{}`, none, "dead-letter-exchange dead_letters"}, // up to 3.13; see its limit above for 4.x
		{queue, "quorum", `{"x-queue-type":"quorum"}`, `{"delivery-limit":-1}`, none, ""},
		{queue, "quorum", `{"x-queue-type":"quorum","x-delivery-limit":2000000}`, `{}`, none, ""},
		{queue, "classic", `{}`, `{}`, none, ""},
		{dead, "quorum", `{"x-queue-type":"quorum"}`, `{}`, none, ""},
		{queue, "quorum", `{"x-queue-type":"quorum"}`, `{"dead-letter-exchange":"theirs"}`, none, "dead-letter-exchange dead_letters"},
		{queue, "quorum", `{"x-queue-type":"quorum"}`, `{"dead-letter-exchange":"","dead-letter-routing-key":"log_queue.dead"}`, none, "dead-letter-strategy dead_letters"},
		{queue, "classic", `{}`, `{"dead-letter-exchange":"theirs"}`, none, "dead-letter-exchange dead_letters"},

		// a policy of the whole broker
		{queue, "quorum", queueArguments, `{"max-length":100,"message-ttl":1000,"expires":1000,"delivery-limit":3,"overflow":"drop-head","max-in-memory-length":1,"queue-mode":"lazy"}`, "3",
			"dead-letter-strategy dead_letters,delivery-limit dead_letters,expires drops,max-length drops,message-ttl drops"},
	} {
		got := strings.Join(judged(t, c.queue, c.kind, c.arguments, c.effective, c.limit), ",")
		if got != c.want {
			t.Errorf("%s %s %s %s %s:\ngot  %q\nwant %q", c.queue, c.kind, c.arguments, c.effective, c.limit, got, c.want)
		}
	}
}

// The reasons are what an operator reads first.
func TestReasons(t *testing.T) {
	q := Queue{
		Name: "log_queue", Type: "quorum", Policy: "limits", OperatorPolicy: "ours",
		Arguments: object([]byte(queueArguments)),
		Effective: map[string]any{"max-length": 5.0, "overflow": "drop-head"},
	}
	const want = `"log_queue" drops its oldest events beyond 5 messages, although it confirmed them: overflow is drop-head ` +
		`(max-length, by policy limits or operator policy ours)`
	if got := Judge(&q, "log_queue.dead")[0].Reason; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What tells nothing of policies is not an answer that there are none.
func TestUntold(t *testing.T) {
	for body, want := range map[string]bool{
		`{"name":"log_queue","type":"quorum","arguments":{}}`:                                  false,
		`{"name":"log_queue","type":"quorum","arguments":{},"effective_policy_definition":{}}`: true,
		`{"name":"log_queue","type":"quorum","arguments":{},"effective_policy_definition":[]}`: true,
	} {
		if _, told, err := parseQueue([]byte(body)); told != want || err != nil {
			t.Errorf("%s: told is %v, want %v (%v)", body, told, want, err)
		}
	}
}
