package policy

import (
	"encoding/json"
	"strings"
)

// Queue is what the management API says about a queue.
type Queue struct {
	Name       string
	Type       string         // classic, quorum, stream
	Transient  bool           // not durable: lost when RabbitMQ restarts
	AutoDelete bool           // deleted with its last consumer
	Arguments  map[string]any // as they were declared: x-overflow, …
	// Effective is what the policy and the operator policy amount to: the smaller of two numbers,
	// where both set a key.
	Effective      map[string]any
	Policy         string // "": none
	OperatorPolicy string
	DeliveryLimit  *int64 // of the queue, as RabbitMQ 4.x reports it; nil: not reported, or unlimited
}

// parseQueue parses the API's answer. complete is false while it has no policies: they are part of
// a queue's statistics, which come some seconds after the queue, and never where an operator has
// turned them off.
func parseQueue(body []byte) (q Queue, complete bool, err error) {
	var answer struct {
		Name           string          `json:"name"`
		Type           string          `json:"type"`
		Durable        *bool           `json:"durable"`
		AutoDelete     bool            `json:"auto_delete"`
		Arguments      json.RawMessage `json:"arguments"`
		Effective      json.RawMessage `json:"effective_policy_definition"`
		Policy         any             `json:"policy"`
		OperatorPolicy any             `json:"operator_policy"`
		DeliveryLimit  any             `json:"delivery_limit"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return q, false, err
	}
	q = Queue{Name: answer.Name, Type: answer.Type, Arguments: object(answer.Arguments), Effective: object(answer.Effective)}
	q.Transient, q.AutoDelete = answer.Durable != nil && !*answer.Durable, answer.AutoDelete
	q.Policy, _ = answer.Policy.(string)
	q.OperatorPolicy, _ = answer.OperatorPolicy.(string)
	if n, ok := answer.DeliveryLimit.(float64); ok && n >= 0 {
		limit := int64(n)
		q.DeliveryLimit = &limit
	}
	return q, answer.Effective != nil, nil
}

// object parses an object. Some versions of RabbitMQ write an empty one as a list.
func object(raw json.RawMessage) map[string]any {
	var members map[string]any
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

// text returns a setting of a policy, or of a queue's arguments.
func text(from map[string]any, name string) (string, bool) {
	value, ok := from[name].(string)
	return value, ok
}

// number returns a setting that is a number. A negative number means unlimited (delivery-limit,
// since RabbitMQ 4.0), like a missing one.
func number(from map[string]any, name string) (int64, bool) {
	value, ok := from[name].(float64)
	return int64(value), ok && value >= 0
}

// limit returns the effective number: the smaller of the policy's and the argument's. by says what
// set it.
func (q *Queue) limit(key string) (n int64, by string, ok bool) {
	n, ok = number(q.Effective, key)
	by = q.policies()
	if argument, found := number(q.Arguments, "x-"+key); found && (!ok || argument < n) {
		return argument, "the queue's argument x-" + key, true
	}
	return n, by, ok
}

// policies names the policy and the operator policy, one of which has set the effective value.
func (q *Queue) policies() string {
	var names []string
	if q.Policy != "" {
		names = append(names, "policy "+q.Policy)
	}
	if q.OperatorPolicy != "" {
		names = append(names, "operator policy "+q.OperatorPolicy)
	}
	if len(names) == 0 {
		return "a policy"
	}
	return strings.Join(names, " or ")
}

// overflow returns what the queue does when it is full. In a quorum queue the policy comes before
// the argument, in a classic one the argument before the policy (seen with 3.10.8 and 4.3.6).
func (q *Queue) overflow() (value, by string) {
	policy, byPolicy := text(q.Effective, "overflow")
	argument, byArgument := text(q.Arguments, "x-overflow")
	if byPolicy && (q.Type != typeClassic || !byArgument) {
		return policy, q.policies()
	}
	if byArgument {
		return argument, "the queue's argument x-overflow"
	}
	return "drop-head", "RabbitMQ's default"
}

// rejects reports whether a full queue refuses new messages, so that their publisher gets a nack.
func (q *Queue) rejects() bool {
	value, _ := q.overflow()
	return value == "reject-publish" || value == "reject-publish-dlx" && q.Type == typeClassic // a quorum queue takes that for drop-head
}

// deadLetters returns where the queue's dead letters go. The argument comes before the policy (seen
// with 3.10.8 and 4.3.6). ok is false where they go nowhere.
func (q *Queue) deadLetters() (exchange, key, by string, ok bool) {
	from := func(name string) (string, bool, string) {
		if value, ok := text(q.Arguments, "x-"+name); ok {
			return value, true, "the queue's arguments"
		}
		value, ok := text(q.Effective, name)
		return value, ok, q.policies()
	}
	exchange, ok, by = from("dead-letter-exchange")
	if !ok {
		return "", "", "", false
	}
	key, found, byKey := from("dead-letter-routing-key")
	if !found {
		return exchange, q.Name, by, true
	}
	if byKey != by {
		by += " and " + byKey
	}
	return exchange, key, by, true
}

// deadLettersSafely reports whether the broker waits for the confirm of a dead letter before it
// removes the message.
func (q *Queue) deadLettersSafely() bool {
	strategy, ok := text(q.Arguments, "x-dead-letter-strategy")
	if !ok {
		strategy, _ = text(q.Effective, "dead-letter-strategy")
	}
	value, _ := q.overflow()
	return q.Type == typeQuorum && strategy == "at-least-once" && value == "reject-publish"
}
