package partitions

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// each calls f with the values of every row of a query, in PostgreSQL's binary form. It asks for
// some at a time, with a cursor: an f that has seen enough need not wait for the rest. It must be
// called within a transaction.
func (s *Session) each(ctx context.Context, query string, f func(values [][]byte) error) error {
	if _, err := s.conn.Exec(ctx, "DECLARE month NO SCROLL CURSOR FOR "+query); err != nil {
		return err
	}
	for {
		n, err := s.fetch(ctx, f)
		if err != nil {
			_, closeErr := s.conn.Exec(ctx, "CLOSE month")
			return errors.Join(err, closeErr)
		}
		if n == 0 {
			_, err := s.conn.Exec(ctx, "CLOSE month")
			return err
		}
	}
}

func (s *Session) fetch(ctx context.Context, f func(values [][]byte) error) (n int, err error) {
	// Described each time: a statement that is kept would remember another cursor's columns.
	rows, err := s.conn.Query(ctx, "FETCH FORWARD 1000 FROM month", pgx.QueryExecModeDescribeExec, pgx.QueryResultFormats{pgx.BinaryFormatCode})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		if err := f(rows.RawValues()); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// lines calls f with the line of every event of a month's table, in the order of their ids. f must
// not keep it.
func (s *Session) lines(ctx context.Context, m month.Month, f func(line []byte) error) error {
	query := "SELECT row_to_json(e)::text FROM ONLY " + pgident.Public(m.Table()) + " e ORDER BY e.event_id"
	return s.each(ctx, query, func(values [][]byte) error { return f(values[0]) })
}

// digests asks PostgreSQL, which hashes for itself, about every event of a month's table, in the
// order of their ids: the SHA-256 of its line, and whether the line, read by PostgreSQL, is that
// row again.
func (s *Session) digests(ctx context.Context, m month.Month, f func(sum []byte, restores bool) error) error {
	const query = `
		SELECT sha256(convert_to(row_to_json(e)::text, 'UTF8')),
		       (json_populate_record(NULL::%[1]s, row_to_json(e))) IS NOT DISTINCT FROM e
		  FROM ONLY %[1]s e ORDER BY e.event_id`
	return s.each(ctx, fmt.Sprintf(query, pgident.Public(m.Table())), func(values [][]byte) error {
		if len(values) != 2 || len(values[0]) != sha256.Size || len(values[1]) != 1 {
			return errors.New("PostgreSQL hashed in an unknown form")
		}
		return f(values[0], values[1][0] == 1)
	})
}
