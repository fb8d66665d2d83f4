package export

import (
	"errors"
	"fmt"
	"io"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// Rows calls check for every row of a month's table, in the order of the ids, with the SHA-256 of
// the row's line and with whether the line, read by PostgreSQL, is that row again. It ends at
// check's first error and returns it.
type Rows func(check func(sum []byte, restores bool) error) error

// Compare reads a whole file of a month and compares it with the month's table, row by row. It
// returns what the file has. A file that differs is ErrContent; so is one that can't be
// decompressed.
func Compare(path string, m month.Month, rows Rows) (Content, error) {
	r, err := openReader(path, m)
	if err != nil {
		return Content{}, err
	}
	defer r.close()
	err = rows(func(want []byte, restores bool) error {
		sum, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it ends after line %d, and the table has more", ErrContent, r.tally.Rows)
		case err != nil:
			return err
		case string(sum[:]) != string(want):
			return fmt.Errorf("line %d: %w: event %s is otherwise in the table, or not there", r.tally.Rows, ErrContent, r.tally.LastEventID)
		case !restores:
			return fmt.Errorf("line %d: %w: PostgreSQL would read another event from it than %s", r.tally.Rows, ErrContent, r.tally.LastEventID)
		}
		return nil
	})
	if err != nil {
		return Content{}, err
	}
	return r.end()
}
