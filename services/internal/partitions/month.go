package partitions

import (
	"fmt"
	"strings"
	"time"
)

// Month is a calendar month of UTC, which is what a partition holds.
type Month struct{ first time.Time }

// monthLayout is how people write one.
const monthLayout = "2006-01"

// tableLayout is how ensure_partitions (migration 3) names its table.
const tableLayout = "log_events_y2006m01"

// MonthOf returns the month of a moment.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return Month{time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)}
}

// ParseMonth reads a month such as 2025-09.
func ParseMonth(text string) (Month, error) {
	first, err := time.Parse(monthLayout, text)
	if err != nil {
		return Month{}, fmt.Errorf("%q is not a month such as 2025-09", text)
	}
	return Month{first}, nil
}

// monthOfTable reports whether a table is named as a month's, and which month's.
func monthOfTable(name string) (m Month, ok bool) {
	first, err := time.Parse(tableLayout, name)
	if err != nil {
		return Month{}, false
	}
	m = Month{first}
	return m, m.Table() == name
}

// Table is the name of the month's table, attached or not.
func (m Month) Table() string { return m.first.Format(tableLayout) }

// Start is the month's first moment.
func (m Month) Start() time.Time { return m.first }

// End is the first moment after the month.
func (m Month) End() time.Time { return m.first.AddDate(0, 1, 0) }

// Holds reports whether a moment lies in the month.
func (m Month) Holds(t time.Time) bool { return !t.Before(m.Start()) && t.Before(m.End()) }

// IsZero reports whether it is no month: the default partition's.
func (m Month) IsZero() bool { return m.first.IsZero() }

// String writes the month as ParseMonth reads it.
func (m Month) String() string { return m.first.Format(monthLayout) }

// MarshalText is encoding.TextMarshaler's.
func (m Month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is encoding.TextUnmarshaler's.
func (m *Month) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMonth(string(text))
	return err
}

// list joins months for a message.
func list(months []Month) string {
	names := make([]string, len(months))
	for i, m := range months {
		names[i] = m.String()
	}
	return strings.Join(names, ", ")
}
