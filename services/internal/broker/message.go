package broker

// Content types of a message's body. Only the second is split into lines.
const (
	ContentEvent = "application/json"
	ContentGroup = "application/x-ndjson"
)

// HeaderEvents says how many events a message carries.
const HeaderEvents = "events"

// HeaderIdentity names the identity key under which ids and keys of the message's events were
// derived, by 8 hexadecimal digits of its SHA-256. It is absent where none was.
const HeaderIdentity = "identity"

// Message is a message to publish.
type Message struct {
	Body        []byte
	ContentType string
	MessageID   string
	Type        string
	Headers     map[string]any
}
