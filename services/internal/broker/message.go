package broker

// Content types of a message's body. Only the second is split into lines.
const (
	ContentEvent = "application/json"
	ContentGroup = "application/x-ndjson"
)

// HeaderEvents says how many events a message carries.
const HeaderEvents = "events"

// Message is a message to publish.
type Message struct {
	Body        []byte
	ContentType string
	MessageID   string
	Type        string
	Headers     map[string]any
}
