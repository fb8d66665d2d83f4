package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

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
