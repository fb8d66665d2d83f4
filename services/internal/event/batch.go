package event

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// space is what JSON allows between its tokens (RFC 8259, 2).
const space = " \t\r\n"

// ParseArray reads a JSON array of events as [Parser.Parse] reads one. A bad event refuses them
// all, and the error has the index of every bad one.
func (p *Parser) ParseArray(body []byte, origin Origin) (es []Event, ignored []string, err error) {
	if !utf8.Valid(body) {
		return nil, nil, invalidBody("must be UTF-8")
	}
	// Elements are cut out first, and each is read strictly afterwards, so that a fault in one does
	// not hide those of the next.
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), strict, jsontext.AllowDuplicateNames(true))
	if kind := dec.PeekKind(); kind != '[' {
		if _, err := dec.ReadValue(); err != nil {
			return nil, nil, asFault(err, body)
		}
		if kind == '{' {
			return nil, nil, invalidBody("must be a JSON array of events; for NDJSON, an event a line, the content type is application/x-ndjson")
		}
		return nil, nil, invalidBody("must be a JSON array of events")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, nil, asFault(err, body)
	}
	var elements [][]byte
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return nil, nil, asFault(err, body)
		}
		if len(elements) == MaxBatchEvents {
			return nil, nil, tooMany()
		}
		end := dec.InputOffset()
		elements = append(elements, body[end-int64(len(value)):end:end])
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, nil, asFault(err, body)
	}
	if rest := bytes.TrimLeft(body[dec.InputOffset():], space); len(rest) > 0 {
		return nil, nil, invalidBody("must end after the JSON array")
	}
	return p.parseEach(elements, origin)
}

// ParseLines reads NDJSON, one event a line, as [Parser.ParseArray] reads an array. Blank lines are
// skipped and not counted.
func (p *Parser) ParseLines(body []byte, origin Origin) (es []Event, ignored []string, err error) {
	var lines [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.Trim(line, space); len(line) == 0 {
			continue
		}
		if len(lines) == MaxBatchEvents {
			return nil, nil, tooMany()
		}
		lines = append(lines, slices.Clip(line))
	}
	return p.parseEach(lines, origin)
}

func tooMany() error {
	return invalidBody("must not hold more than %d events", MaxBatchEvents)
}

func (p *Parser) parseEach(texts [][]byte, origin Origin) ([]Event, []string, error) {
	if len(texts) == 0 {
		return nil, nil, invalidBody("must hold at least one event")
	}
	b := batchReader{
		parser: p,
		now:    p.now(),
		events: make([]Event, 0, len(texts)),
		seen:   make(map[uuid.UUID]int),
	}
	for i, text := range texts {
		b.add(i, text)
	}
	if len(b.faults) > 0 {
		return nil, nil, &InvalidError{Errors: b.faults}
	}
	origin.TraceParent = traceParent(origin.TraceParent)
	received := p.receipt()
	for i := range b.events {
		origin.complete(&b.events[i], received)
	}
	return b.events, b.ignored, nil
}

// batchReader collects the events of a batch and their faults.
type batchReader struct {
	parser  *Parser
	now     time.Time
	events  []Event
	ignored []string          // each name once
	seen    map[uuid.UUID]int // ids of clients, and the index of each
	faults  []FieldError
}

// add reads the event at index i.
func (b *batchReader) add(i int, text []byte) {
	m, err := readMembers(text)
	if err != nil {
		b.refuse(i, err)
		return
	}
	e, ignored, err := b.parser.parse(&m, b.now)
	if err != nil {
		b.refuse(i, err)
		return
	}
	if m.eventID != nil {
		if first, twice := b.seen[e.ID]; twice {
			b.fault(first, FieldError{Field: "event_id", Message: fmt.Sprintf("is also that of event %d", i)})
			b.fault(i, FieldError{Field: "event_id", Message: fmt.Sprintf("is also that of event %d", first)})
			return
		}
		b.seen[e.ID] = i
	}
	for _, name := range ignored {
		b.ignore(name)
	}
	b.events = append(b.events, e)
}

func (b *batchReader) refuse(i int, err error) {
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		for _, fault := range invalid.Errors {
			b.fault(i, fault)
		}
		return
	}
	b.fault(i, FieldError{Field: "body", Message: err.Error()})
}

func (b *batchReader) fault(i int, fault FieldError) {
	fault.Index = &i
	b.faults = append(b.faults, fault)
}

func (b *batchReader) ignore(name string) {
	if slices.Contains(b.ignored, name) {
		return
	}
	if len(b.ignored) < MaxIgnored {
		b.ignored = append(b.ignored, name)
	}
}
