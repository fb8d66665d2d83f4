package export

import (
	"errors"

	"github.com/klauspost/compress/zstd"
)

// Writer writes the file of an export.
type Writer struct {
	*Draft
	zstd *zstd.Encoder
}

// NewWriter begins the file of an export, and removes what killed processes left of its month.
func NewWriter(p Path) (*Writer, error) {
	if err := removeDrafts(p.dir, p.Month().Table()+"."); err != nil {
		return nil, err
	}
	draft, err := createDraft(p.File())
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(draft.file, zstd.WithEncoderConcurrency(1))
	if err != nil {
		err = errors.Join(err, draft.file.Close())
		draft.Discard()
		return nil, err
	}
	return &Writer{Draft: draft, zstd: z}, nil
}

// WriteLine adds an event.
func (w *Writer) WriteLine(line []byte) error {
	if _, err := w.zstd.Write(line); err != nil {
		return err
	}
	_, err := w.zstd.Write([]byte{'\n'})
	return err
}

// Flush ends the compressed stream.
func (w *Writer) Flush() error { return w.zstd.Close() }
