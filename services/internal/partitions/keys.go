package partitions

import (
	"context"
	"fmt"
	"time"
)

// keySlice is how many event keys are dropped in a transaction.
const keySlice = 10_000

// DropEventKeys drops the keys of events whose senders repeat them no more, in slices, and returns
// how many there were: those that are older than every event that may be taken out of the trail
// (see MinAge).
func (s *Session) DropEventKeys(ctx context.Context) (dropped int64, err error) {
	age := s.minAge.Truncate(time.Microsecond)
	for n := int64(keySlice); n == keySlice; {
		err := s.locks.Retry(ctx, []string{"event_keys"}, func() error {
			return s.conn.QueryRow(ctx, "SELECT public.drop_event_keys($1, $2)", age, keySlice).Scan(&n)
		})
		if err != nil {
			return dropped, fmt.Errorf("dropping event keys: %w", err)
		}
		dropped += n
	}
	return dropped, nil
}
