package values

import "log/slog"

const redacted = "[redacted]"

// Secret is a value that no log, message or dump shows: every common way of printing it gives
// "[redacted]". Reveal is the only way to read it.
//
// The value is behind a pointer because fmt can't call the methods of a Secret in an unexported
// field of another package's struct. It then prints what it finds by reflection, which is an
// address.
type Secret struct{ value *string }

// NewSecret hides a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value, "" when none is set. Pass it to the library that needs it and nowhere
// else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// UnmarshalText keeps a copy of text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// String answers every verb of fmt but %#v.
func (Secret) String() string { return redacted }

// GoString answers %#v.
func (Secret) GoString() string { return redacted }

// LogValue answers log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText answers encoding/json and its like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
