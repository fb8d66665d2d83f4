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

// Parser reads the events that clients send. The zero Parser is ready to use.
type Parser struct {
	// MaxAge is how old the time of an event_id that a client sends may be. It must not exceed how
	// long events are kept, or a retry could be stored again after its first copy is gone.
	// 0 means DefaultMaxAge.
	MaxAge time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Origin is what an event has from the request that brought it, and not from its own text.
type Origin struct {
	KeyName     string // of the client's API key; "" where the producer asks for none
	TraceParent string // the request's header of that name; one that is malformed is dropped
}

// Parse reads one event. A missing event_id is minted.
//
// ignored lists members that no event has; the Python service ignored them, too. The error is a
// *SyntaxError, or an *InvalidError with every fault. The event's payload aliases body, which the
// caller must not reuse.
func (p *Parser) Parse(body []byte, origin Origin) (e Event, ignored []string, err error) {
	m, err := readMembers(body)
	if err != nil {
		return e, nil, err
	}
	e, ignored, err = p.parse(&m, p.now())
	if err != nil {
		return e, nil, err
	}
	origin.TraceParent = traceParent(origin.TraceParent)
	origin.complete(&e, p.receipt())
	return e, ignored, nil
}

// complete sets the fields that an event does not have from its own text.
func (o *Origin) complete(e *Event, receivedAt time.Time) {
	e.ReceivedFrom, e.TraceParent, e.ReceivedAt = o.KeyName, o.TraceParent, receivedAt
}

func (p *Parser) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// receipt returns the time of receipt. The clock is read after parsing: an id that is minted there,
// and with it the event's own time, would be later than a time that was read before.
func (p *Parser) receipt() time.Time { return micros(p.now()) }

// parse turns members into an event by the rules for clients. now bounds an id of theirs.
func (p *Parser) parse(m *members, now time.Time) (e Event, ignored []string, err error) {
	var f faults
	f.common(m, &e)
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
	return e, m.ignored(), nil
}

// clientID reads an id that the client chose, so that its retries are the same event.
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
