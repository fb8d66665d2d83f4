package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// Format is what exports of this release are: NDJSON, compressed with Zstandard (RFC 8878), each
// line PostgreSQL's row_to_json of an event with its columns as they were, in the order of
// event_id.
const Format = "trailpost-export/1"

// Manifest says what an export has. It stands beside the file, and the file counts as an export
// once it does.
type Manifest struct {
	Format string      `json:"format"`
	Month  month.Month `json:"month"`
	Table  string      `json:"table"`

	File string `json:"file"` // without a directory
	Content

	// SystemIdentifier is the cluster that was exported (pg_control_system), TxSystemIdentifier the
	// one whose transaction ids tx holds, another after a restore (trail_origin). Both are strings:
	// they are beyond what a double, JavaScript's number, has exactly.
	Database           string    `json:"database"`
	SystemIdentifier   string    `json:"system_identifier"`
	TxSystemIdentifier string    `json:"tx_system_identifier"`
	ServerVersion      string    `json:"server_version"`
	SchemaVersion      int64     `json:"schema_version"`
	Columns            []Column  `json:"columns"`
	ExportedAt         time.Time `json:"exported_at"`
}

// Column is a column of the table, in its order, which is that of a line's members.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Content is what is found by reading a file.
type Content struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the file

	Rows int64 `json:"rows"`
	// ContentSHA256 is the SHA-256 of the SHA-256 of each line (without its line break, as 32
	// bytes), in order. PostgreSQL computes the same of a table.
	ContentSHA256 string `json:"content_sha256"`

	// The first and the last event, and the range of transaction ids. Null in an empty month.
	FirstEventID *uuid.UUID `json:"first_event_id"`
	LastEventID  *uuid.UUID `json:"last_event_id"`
	FirstTx      *int64     `json:"first_tx"`
	LastTx       *int64     `json:"last_tx"`
}

// Equal compares by value.
func (c Content) Equal(other Content) bool {
	return c.Bytes == other.Bytes && c.SHA256 == other.SHA256 && c.Rows == other.Rows && c.ContentSHA256 == other.ContentSHA256 &&
		same(c.FirstEventID, other.FirstEventID) && same(c.LastEventID, other.LastEventID) &&
		same(c.FirstTx, other.FirstTx) && same(c.LastTx, other.LastTx)
}

func same[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// ReadManifest reads the manifest beside the file: fs.ErrNotExist when there is none.
func (p Path) ReadManifest() (*Manifest, error) {
	text, err := os.ReadFile(p.Manifest())
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Manifest(), err)
	}
	switch {
	case m.Format != Format:
		return nil, fmt.Errorf("%s: its format is %q, not %q", p.Manifest(), m.Format, Format)
	case m.File != p.FileName():
		return nil, fmt.Errorf("%s: it is about the file %q", p.Manifest(), m.File)
	}
	return m, nil
}

// DraftManifest writes a manifest that is beside the file once the draft is published.
func (p Path) DraftManifest(m *Manifest) (*Draft, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := removeDrafts(p.dir, p.base+manifestSuffix); err != nil {
		return nil, err
	}
	draft, err := createDraft(p.Manifest())
	if err != nil {
		return nil, err
	}
	_, err = draft.file.Write(append(text, '\n'))
	if err = errors.Join(err, draft.Sync()); err != nil {
		draft.Discard()
		return nil, err
	}
	return draft, nil
}
