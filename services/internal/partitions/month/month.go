// Package month has the calendar month, which is what a partition of the trail holds, and the name
// of its table.
package month

import (
	"fmt"
	"strings"
	"time"
)

// Month is a calendar month of UTC, which is what a partition holds.
type Month struct{ first time.Time }

// layout is how people write one.
const layout = "2006-01"

// tableLayout is how ensure_partitions (migration 3) names its table.
const tableLayout = "log_events_y2006m01"

// Of returns the month of a moment.
func Of(t time.Time) Month {
	t = t.UTC()
	return Month{time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)}
}

// Parse reads a month such as 2025-09.
func Parse(text string) (Month, error) {
	first, err := time.Parse(layout, text)
	if err != nil {
		return Month{}, fmt.Errorf("%q is not a month such as 2025-09", text)
	}
	return Month{first}, nil
}

// OfTable returns the month whose table has the name; false: no month's table has it.
func OfTable(name string) (m Month, ok bool) {
	first, err := time.Parse(tableLayout, name)
	if err != nil {
		return Month{}, false
	}
	m = Month{first}
	return m, m.Table() == name
}

// Table is the name of the month's table, attached or not.
func (m Month) Table() string { return m.first.Format(tableLayout) }

// AddMonths is the month n months later.
func (m Month) AddMonths(n int) Month { return Month{m.first.AddDate(0, n, 0)} }

// Start is the month's first moment.
func (m Month) Start() time.Time { return m.first }

// End is the first moment after the month.
func (m Month) End() time.Time { return m.first.AddDate(0, 1, 0) }

// Holds reports whether a moment lies in the month.
func (m Month) Holds(t time.Time) bool { return !t.Before(m.Start()) && t.Before(m.End()) }

// IsZero reports whether it is not a month: the default partition has none.
func (m Month) IsZero() bool { return m.first.IsZero() }

// String writes the month as Parse reads it.
func (m Month) String() string { return m.first.Format(layout) }

// MarshalText implements encoding.TextMarshaler.
func (m Month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Month) UnmarshalText(text []byte) (err error) {
	*m, err = Parse(string(text))
	return err
}

// Join lists months for a message.
func Join(months []Month) string {
	names := make([]string, len(months))
	for i, m := range months {
		names[i] = m.String()
	}
	return strings.Join(names, ", ")
}
