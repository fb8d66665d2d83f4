package broker

import (
	"mime"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Delivery is a message that was delivered, or taken, and is not acked.
type Delivery struct {
	Tag         uint64 // delivery tag, within its session
	Body        []byte
	ContentType string
	MessageID   string
	Type        string
	Headers     map[string]any
	Redelivered bool
	// Returns is how often the message was delivered before and came back, as far as the broker
	// tells.
	Returns int64
}

// NewDelivery takes over what the client library delivers.
func NewDelivery(d *amqp.Delivery) Delivery {
	return Delivery{
		Tag:         d.DeliveryTag,
		Body:        d.Body,
		ContentType: d.ContentType,
		MessageID:   d.MessageId,
		Type:        d.Type,
		Headers:     d.Headers,
		Redelivered: d.Redelivered,
		Returns:     returns(d),
	}
}

// returns reads the counters of quorum queues. x-delivery-count counts failures alone since 4.3;
// x-acquired-count, which 4.3 adds, counts every time.
func returns(d *amqp.Delivery) int64 {
	n := max(headerInt(d.Headers, "x-delivery-count"), headerInt(d.Headers, "x-acquired-count"))
	if n == 0 && d.Redelivered {
		return 1 // a classic queue counts nothing
	}
	return n
}

// IsGroup reports whether the body has an event on each line.
func (d *Delivery) IsGroup() bool {
	switch d.ContentType { // as the producer writes them
	case ContentGroup:
		return true
	case ContentEvent:
		return false
	}
	media, _, err := mime.ParseMediaType(d.ContentType)
	return err == nil && strings.EqualFold(media, ContentGroup)
}

// Events is the number of events that the message's publisher put in; ok is false when it did not
// say.
func (d *Delivery) Events() (n int64, ok bool) {
	if _, ok := d.Headers[HeaderEvents]; !ok {
		return 0, false
	}
	return headerInt(d.Headers, HeaderEvents), true
}

// Header returns a header's text, "" where there is none.
func (d *Delivery) Header(name string) string {
	s, _ := d.Headers[name].(string)
	return s
}

// headerInt reads a header that is any of AMQP's whole numbers; 0 if it is something else.
func headerInt(headers amqp.Table, name string) int64 {
	switch n := headers[name].(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	case int16:
		return int64(n)
	case int8:
		return int64(n)
	case uint8:
		return int64(n)
	case uint16:
		return int64(n)
	case uint32:
		return int64(n)
	case int:
		return int64(n)
	}
	return 0
}
