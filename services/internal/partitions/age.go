package partitions

import (
	"fmt"
	"time"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// LeastAge is the age below which no month is ever taken out: the default of EVENT_ID_MAX_AGE, and
// a day.
const LeastAge = 31 * 24 * time.Hour

// margin is what MinAge adds to EVENT_ID_MAX_AGE, for clocks that differ and messages that waited
// on the queue.
const margin = 24 * time.Hour

// MinAge returns the age that every event of a month must have before the month may go, where
// clients may retry for as long as eventIDMaxAge.
func MinAge(eventIDMaxAge time.Duration) time.Duration { return max(LeastAge, eventIDMaxAge+margin) }

// TooYoungError is an age below the least.
type TooYoungError struct{ Asked, Least time.Duration }

func (e *TooYoungError) Error() string {
	return fmt.Sprintf("months must be kept for at least %s, not %s: clients may still retry their events, "+
		"and a retry of an event that is gone is stored as a new one (EVENT_ID_MAX_AGE and a day, never less than 31 days)",
		days(e.Least), days(e.Asked))
}

// days writes a duration as people count it.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0 && d > day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
	return d.String()
}

// requireAge refuses months of which an event may be younger than the least age.
func (s *Session) requireAge(now time.Time, months ...month.Month) error {
	for _, m := range months {
		if age := now.Sub(m.End()); age < s.minAge {
			return fmt.Errorf("%s: %w", m, &TooYoungError{Asked: max(age, 0).Truncate(time.Hour), Least: s.minAge})
		}
	}
	return nil
}
