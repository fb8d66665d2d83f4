package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// ErrContent is a file that is not what it should be, whatever that is: cut short, changed, or of
// another table.
var ErrContent = errors.New("not what it should hold")

// reader reads an export line by line and takes its measure.
type reader struct {
	month month.Month

	file    *os.File
	raw     hash.Hash // of what was read of the file
	counted counter
	zstd    *zstd.Decoder
	lines   *bufio.Reader
	long    []byte // a line longer than the buffer

	content hash.Hash
	tally   Content
}

// openReader opens a month's file.
func openReader(path string, m month.Month) (*reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &reader{month: m, file: file, raw: sha256.New(), content: sha256.New()}
	r.zstd, err = zstd.NewReader(io.TeeReader(file, io.MultiWriter(r.raw, &r.counted)), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.lines = bufio.NewReaderSize(r.zstd, 256<<10)
	return r, nil
}

func (r *reader) close() {
	r.zstd.Close()
	_ = r.file.Close()
}

// next reads the next line and returns its SHA-256; io.EOF after the last. Lines must be events of
// the month, in the order of their ids: anything else is ErrContent.
func (r *reader) next() (sum [sha256.Size]byte, err error) {
	line, err := r.line()
	if err != nil {
		return sum, err
	}
	var e struct {
		ID *uuid.UUID `json:"event_id"`
		Tx *int64     `json:"tx"`
	}
	n := r.tally.Rows + 1
	switch err := json.Unmarshal(line, &e); {
	case err != nil:
		return sum, fmt.Errorf("line %d: %w: %w", n, ErrContent, err)
	case e.ID == nil || e.Tx == nil:
		return sum, fmt.Errorf("line %d: %w: no event_id, or no tx", n, ErrContent)
	case !r.month.Holds(event.IDTime(*e.ID)):
		return sum, fmt.Errorf("line %d: %w: event %s is of another month than %s", n, ErrContent, e.ID, r.month)
	case r.tally.LastEventID != nil && string(e.ID[:]) <= string(r.tally.LastEventID[:]):
		return sum, fmt.Errorf("line %d: %w: event %s comes after %s", n, ErrContent, e.ID, r.tally.LastEventID)
	}
	sum = sha256.Sum256(line)
	r.content.Write(sum[:])
	r.count(e.ID, *e.Tx)
	return sum, nil
}

func (r *reader) count(id *uuid.UUID, tx int64) {
	t := &r.tally
	if t.Rows == 0 {
		first, last := tx, tx
		t.FirstEventID, t.FirstTx, t.LastTx = id, &first, &last
	}
	t.Rows++
	t.LastEventID = id
	*t.FirstTx, *t.LastTx = min(*t.FirstTx, tx), max(*t.LastTx, tx)
}

// line reads to the next line break, however far it is, and returns what is before it, for as long
// as nobody reads on.
func (r *reader) line() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.lines.ReadSlice('\n')
		switch {
		case err == nil && len(r.long) == 0:
			return part[:len(part)-1], nil
		case err == nil:
			r.long = append(r.long, part...)
			return r.long[:len(r.long)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
			r.long = append(r.long, part...)
		case errors.Is(err, io.EOF) && len(part)+len(r.long) > 0:
			return nil, fmt.Errorf("line %d: %w: it has no end", r.tally.Rows+1, ErrContent)
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, r.wrap(err)
		}
	}
}

// wrap makes an ErrContent of an error, unless it is that the file can't be read.
func (r *reader) wrap(err error) error {
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return err
	}
	return fmt.Errorf("after line %d: %w: %w", r.tally.Rows, ErrContent, err)
}

// end makes sure that there is no further line, and returns what the file has.
func (r *reader) end() (Content, error) {
	_, err := r.next()
	switch {
	case err == nil:
		return Content{}, fmt.Errorf("%w: it has more than %d lines", ErrContent, r.tally.Rows-1)
	case !errors.Is(err, io.EOF):
		return Content{}, err
	}
	r.tally.Bytes = int64(r.counted)
	r.tally.SHA256 = hex.EncodeToString(r.raw.Sum(nil))
	r.tally.ContentSHA256 = hex.EncodeToString(r.content.Sum(nil))
	return r.tally, nil
}

// counter counts what is written to it.
type counter int64

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
