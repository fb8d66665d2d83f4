package partitions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Format is what exports of this release are: NDJSON, compressed with Zstandard (RFC 8878), each line PostgreSQL's
// row_to_json of an event with its columns as they were, in the order of event_id.
const Format = "trailpost-export/1"

// Manifest says what an export has. It stands beside the file, and the file counts as an export once it does.
type Manifest struct {
	Format string `json:"format"`
	Month  Month  `json:"month"`
	Table  string `json:"table"`

	File string `json:"file"` // without a directory
	Content

	// SystemIdentifier is the cluster that was exported (pg_control_system), TxSystemIdentifier the one whose
	// transaction ids tx holds, another after a restore (trail_origin). Both are strings: they are beyond what a
	// double, JavaScript's number, has exactly.
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

// Content is what reading a file tells about it.
type Content struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the file

	Rows int64 `json:"rows"`
	// ContentSHA256 is the SHA-256 of the SHA-256 of each line (without its line break, as 32 bytes), in order.
	// PostgreSQL computes the same of a table.
	ContentSHA256 string `json:"content_sha256"`

	// The first and the last event, and the range of transaction ids. Null in an empty month.
	FirstEventID *uuid.UUID `json:"first_event_id"`
	LastEventID  *uuid.UUID `json:"last_event_id"`
	FirstTx      *int64     `json:"first_tx"`
	LastTx       *int64     `json:"last_tx"`
}

// equal compares by value.
func (c Content) equal(other Content) bool {
	return c.Bytes == other.Bytes && c.SHA256 == other.SHA256 && c.Rows == other.Rows && c.ContentSHA256 == other.ContentSHA256 &&
		same(c.FirstEventID, other.FirstEventID) && same(c.LastEventID, other.LastEventID) &&
		same(c.FirstTx, other.FirstTx) && same(c.LastTx, other.LastTx)
}

func same[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

const (
	fileSuffix     = ".ndjson.zst"
	manifestSuffix = ".manifest.json"
	partialSuffix  = ".partial"
)

// place is where the n-th export of a month is; n counts from 1. There is a second when events came after the month
// had been dropped, and made it anew.
type place struct {
	dir  string
	base string
}

func placeOf(dir string, m Month, n int) place {
	if n == 1 {
		return place{dir, m.Table()}
	}
	return place{dir, fmt.Sprintf("%s.%d", m.Table(), n)}
}

func (p place) file() string     { return filepath.Join(p.dir, p.base+fileSuffix) }
func (p place) manifest() string { return filepath.Join(p.dir, p.base+manifestSuffix) }

// readManifest reads a place's manifest: fs.ErrNotExist when it has none.
func (p place) readManifest() (*Manifest, error) {
	text, err := os.ReadFile(p.manifest())
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", p.manifest(), err)
	}
	switch {
	case m.Format != Format:
		return nil, fmt.Errorf("%s: its format is %q, not %q", p.manifest(), m.Format, Format)
	case m.File != p.base+fileSuffix:
		return nil, fmt.Errorf("%s: it is about the file %q", p.manifest(), m.File)
	}
	return m, nil
}

// writeManifest puts a place's manifest there, whole or not at all.
func (p place) writeManifest(m *Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := removePartials(p.manifest()); err != nil {
		return err
	}
	draft, err := createPartial(p.manifest())
	if err != nil {
		return err
	}
	_, err = draft.Write(append(text, '\n'))
	if err = errors.Join(err, finish(draft)); err == nil {
		reached("manifest written")
		err = rename(draft.Name(), p.manifest())
	}
	if err != nil {
		_ = os.Remove(draft.Name())
	}
	return err
}

// manifests lists the places in a directory that have a manifest, by name: all, or those of some months.
func manifests(dir string, months []Month) ([]place, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var places []place
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), manifestSuffix)
		table, _, _ := strings.Cut(base, ".")
		month, named := monthOfTable(table)
		if ok && named && (len(months) == 0 || slices.Contains(months, month)) {
			places = append(places, place{dir, base})
		}
	}
	return places, nil
}

// exists tells whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
