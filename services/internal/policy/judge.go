package policy

import (
	"fmt"
	"time"
)

const (
	typeClassic = "classic"
	typeQuorum  = "quorum"
	typeStream  = "stream"
)

// Effect is what a setting does to messages.
type Effect string

// The effects, the worst first; they are values of a metric's label.
const (
	// Drops: what the broker has confirmed may be gone.
	Drops Effect = "drops"
	// DeadLetters: what waits for the database may end in the dead-letter queue.
	DeadLetters Effect = "dead_letters"
	// Refuses: the broker may take no more. Nothing is lost by it.
	Refuses Effect = "refuses"
)

// Finding is a setting of a queue that does harm.
type Finding struct {
	Queue  string
	Key    string // of the policy: max-length, overflow, …
	By     string // what set it, for people
	Effect Effect
	Reason string // a sentence without its period
}

// Limits below these are too small.
const (
	// smallDeliveryLimit: each consumer that ends with unacked messages, and up to RabbitMQ 4.2
	// each half hour that they wait for the database, counts as one return of all of them.
	smallDeliveryLimit = 100
	// smallLetterLimit: each "dead-letters list" may count as one return of every letter.
	smallLetterLimit = 1_000_000
	// smallConsumerTimeout is RabbitMQ's default.
	smallConsumerTimeout = 30 * time.Minute
)

// Judge says what a queue's settings would do to events, or, for a dead-letter queue, to letters.
// dead is the name of the dead-letter queue.
func Judge(q *Queue, dead string) []Finding {
	j := judge{Queue: q, dead: dead, what: "events"}
	if q.Name == dead {
		j.what = "dead letters"
	}
	j.kind()
	j.length()
	j.timeToLive()
	j.expiry()
	j.deliveryLimit()
	if q.Name != dead {
		j.consumerTimeout()
		j.target()
	}
	return j.findings
}

type judge struct {
	*Queue
	dead     string
	what     string
	findings []Finding
}

func (j *judge) add(key, by string, effect Effect, format string, args ...any) {
	j.findings = append(j.findings, Finding{
		Queue: j.Name, Key: key, By: by, Effect: effect,
		Reason: fmt.Sprintf(format, args...) + " (" + key + ", by " + by + ")",
	})
}

func (j *judge) isDead() bool { return j.Name == j.dead }

// kind: a queue that somebody else has declared (RABBITMQ_QUEUE_TYPE=existing) may be of a kind
// that keeps nothing.
func (j *judge) kind() {
	const by = "its declaration"
	if j.Transient {
		j.add("durable", by, Drops, "%q is not durable: it is gone, with all %s in it, when RabbitMQ restarts", j.Name, j.what)
	}
	if j.AutoDelete {
		j.add("auto-delete", by, Drops, "%q is deleted, with all %s in it, when its last consumer goes", j.Name, j.what)
	}
	if j.Type == typeStream {
		j.add("type", by, Drops, "%q is a stream: a consumer gets none of the %s that came before it did, and can give none back", j.Name, j.what)
	}
}

// length: a full queue drops its oldest messages, or refuses new ones.
func (j *judge) length() {
	for _, key := range []string{"max-length", "max-length-bytes"} {
		unit := "messages"
		if key == "max-length-bytes" {
			unit = "bytes"
		}
		n, by, ok := j.limit(key)
		if !ok {
			continue
		}
		overflow, byOverflow := j.overflow()
		switch {
		case !j.rejects():
			if byOverflow != by {
				by += ", overflow by " + byOverflow
			}
			j.add(key, by, Drops, "%q drops its oldest %s beyond %d %s, although it confirmed them: overflow is %s", j.Name, j.what, n, unit, overflow)
		case j.isDead():
			j.add(key, by, Refuses, "%q takes no more dead letters beyond %d %s, and consumers then wait with the events that can't be stored", j.Name, n, unit)
		}
	}
}

// timeToLive: a message that waits too long leaves the queue.
func (j *judge) timeToLive() {
	if ms, by, ok := j.limit("message-ttl"); ok {
		after := time.Duration(ms) * time.Millisecond
		where := "and are gone"
		if _, _, _, ok := j.deadLetters(); ok && !j.isDead() {
			where = "unstored"
		}
		j.add("message-ttl", by, Drops, "%s leave %q after %s, %s", j.what, j.Name, after, where)
	}
}

// expiry: a queue that nobody uses is deleted with everything in it.
func (j *judge) expiry() {
	if ms, by, ok := j.limit("expires"); ok {
		j.add("expires", by, Drops, "%q is deleted with all %s in it when nobody has used it for %s", j.Name, j.what, time.Duration(ms)*time.Millisecond)
	}
}

// deliveryLimit: a message that came back too often is dead-lettered, or is lost where its queue
// dead-letters nothing. Classic queues have no limit.
func (j *judge) deliveryLimit() {
	if j.Type == typeClassic {
		return
	}
	const key = "delivery-limit"
	n, by, ok := j.limit(key)
	if reported := j.DeliveryLimit; reported != nil && (!ok || *reported < n) {
		n, by, ok = *reported, "RabbitMQ's default", true
	}
	if !ok {
		return
	}
	_, _, _, forwards := j.deadLetters()
	switch {
	case j.isDead() && n < smallLetterLimit:
		j.add(key, by, Drops, "%q drops a dead letter that was given back %d times, and listing gives each back", j.Name, n)
	case !j.isDead() && !forwards && n < smallLetterLimit:
		j.add(key, by, Drops, "%q drops an event that came back %d times, since it has no dead-letter exchange", j.Name, n)
	case !j.isDead() && n < smallDeliveryLimit:
		j.add(key, by, DeadLetters, "%q dead-letters an event that came back %d times, as it does while the database is away: fewer than %d is too few",
			j.Name, n, smallDeliveryLimit)
	}
}

// consumerTimeout: the broker takes messages back from a consumer that did not settle them in time.
// Queues have this setting since RabbitMQ 3.12.
func (j *judge) consumerTimeout() {
	const key = "consumer-timeout"
	ms, by, ok := j.limit(key)
	if timeout := time.Duration(ms) * time.Millisecond; ok && timeout < smallConsumerTimeout {
		j.add(key, by, DeadLetters, "%q takes events from a consumer that waits for the database longer than %s, "+
			"which up to RabbitMQ 4.2 counts as a return: less than %s is too little", j.Name, timeout, smallConsumerTimeout)
	}
}

// target: messages that the broker itself dead-letters must arrive where they are counted.
func (j *judge) target() {
	exchange, key, by, ok := j.deadLetters()
	switch {
	case !ok:
		j.noTarget()
	case exchange != "" || key != j.dead:
		j.add("dead-letter-exchange", by, DeadLetters, "what RabbitMQ dead-letters goes to exchange %q with key %q, not to %q", exchange, key, j.dead)
	case j.Type == typeQuorum && !j.deadLettersSafely():
		_, byOverflow := j.overflow()
		j.add("dead-letter-strategy", byOverflow, DeadLetters, "what RabbitMQ dead-letters from %q may be lost on its way: "+
			"that needs dead-letter-strategy at-least-once and overflow reject-publish", j.Name)
	}
}

// noTarget: a quorum queue that dead-letters nothing loses nothing while it has no delivery limit.
// Since RabbitMQ 4.0 it has one by default.
func (j *judge) noTarget() {
	_, limited := j.Effective["delivery-limit"]
	_, declared := j.Arguments["x-delivery-limit"]
	if j.Type != typeQuorum || limited || declared || j.DeliveryLimit != nil {
		return
	}
	j.add("dead-letter-exchange", "its declaration", DeadLetters, "%q has no dead-letter exchange: what RabbitMQ gives up is gone, "+
		"from RabbitMQ 4.0 on an event that came back 20 times", j.Name)
}
