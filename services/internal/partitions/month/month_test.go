package month

import "testing"

func TestMonths(t *testing.T) {
	for _, text := range []string{"2025-13", "2025", "2025-1", "09-2025", ""} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is a month", text)
		}
	}
	for _, name := range []string{"log_events_y2025m13", "log_events_y2025m1", "log_events_y2025m09_kept", "log_events_default", "log_events_yyyyymmm"} {
		if _, ok := OfTable(name); ok {
			t.Errorf("%s is a month's table", name)
		}
	}
	m, ok := OfTable("log_events_y2024m12")
	if !ok || m.String() != "2024-12" || m.Table() != "log_events_y2024m12" || m.End().Format("2006-01-02") != "2025-01-01" {
		t.Errorf("%v, %v", m, ok)
	}
}
