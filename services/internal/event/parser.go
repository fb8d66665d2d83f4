package event

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// idAhead is how far a client's clock may run ahead of ours.
const idAhead = 5 * time.Minute

// DefaultMaxAge is the default of [Parser.MaxAge].
const DefaultMaxAge = 30 * 24 * time.Hour

// Parser reads the events that clients send.
type Parser struct {
	// MaxAge is how old the time of an event_id that a client sends may be.
	// It must not exceed how long events are kept, or a retry could be
	// stored again after its first copy is gone. 0 means DefaultMaxAge.
	MaxAge time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (p *Parser) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// Parse reads the event that body is. A missing event_id is minted.
//
// ignored names members that are no event's; the Python service ignored them
// too. The error is a *SyntaxError or an *InvalidError with every fault. The
// event's payload aliases body, which the caller must not reuse.
func (p *Parser) Parse(body []byte, traceparent string) (e Event, ignored []string, err error) {
	m, err := readMembers(body)
	if err != nil {
		return e, nil, err
	}
	e, ignored, err = p.admit(&m, p.now(), traceParent(traceparent))
	if err != nil {
		return e, nil, err
	}
	e.ReceivedAt = micros(p.now())
	return e, ignored, nil
}

// admit turns members into an event by the rules for clients. The caller sets ReceivedAt, by a
// clock that it reads afterwards: an id minted here, and with it the event's own time, would
// be later than one read before.
func (p *Parser) admit(m *members, now time.Time, traceparent string) (e Event, ignored []string, err error) {
	var f faults
	f.common(m, &e)
	e.TraceParent = traceparent
	if m.eventID != nil {
		e.ID = p.clientID(&f, m.eventID, now)
	} else if e.ID, err = uuid.NewV7(); err != nil {
		return e, nil, fmt.Errorf("mint an event id: %w", err)
	}
	if len(f) > 0 {
		return Event{}, nil, &InvalidError{Errors: f}
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = IDTime(e.ID)
	}
	// Three more names of the wire's form are no business of clients.
	ignored = m.unknown
	if m.producerTimestamp != nil {
		ignored = append(ignored, "producer_timestamp")
	}
	if m.traceParent != nil {
		ignored = append(ignored, "traceparent")
	}
	if m.receivedFrom != nil {
		ignored = append(ignored, "received_from")
	}
	return e, ignored, nil
}

// clientID reads an id that the client chose, so that its retries are the
// same event.
func (p *Parser) clientID(f *faults, raw []byte, now time.Time) uuid.UUID {
	s, ok := f.text("event_id", raw)
	if !ok {
		return uuid.Nil
	}
	id, err := parseID(s)
	if err != nil {
		f.add("event_id", err.Error())
		return uuid.Nil
	}
	maxAge := p.MaxAge
	if maxAge <= 0 {
		maxAge = DefaultMaxAge
	}
	switch at := IDTime(id); {
	case at.Before(now.Add(-maxAge)):
		f.add("event_id", fmt.Sprintf("is from %s, more than %s ago", at.Format(time.RFC3339), maxAge))
	case at.After(now.Add(idAhead)):
		f.add("event_id", fmt.Sprintf("is from %s, more than %s ahead", at.Format(time.RFC3339), idAhead))
	}
	return id
}
