//go:build e2e

package e2e

import (
	"slices"
	"testing"

	"github.com/google/uuid"
)

// TestDifferences: the comparison that the other tests rest on sees each kind of
// fault.
func TestDifferences(t *testing.T) {
	a, b, c := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	l := &ledger{accepted: map[uuid.UUID]struct{}{a: {}, b: {}}, unsettled: map[uuid.UUID]struct{}{c: {}}}
	for _, tc := range []struct {
		name    string
		stored  map[uuid.UUID]int
		numbers map[int]int
		want    []string
	}{
		{"all is well", map[uuid.UUID]int{a: 1, b: 1}, map[int]int{0: 1, 1: 1}, nil},
		{"one more may be stored", map[uuid.UUID]int{a: 1, b: 1, c: 1}, map[int]int{0: 1, 1: 1, 2: 1}, nil},
		{"lost", map[uuid.UUID]int{a: 1}, map[int]int{0: 1}, []string{"1 accepted events are not stored"}},
		{"foreign", map[uuid.UUID]int{a: 1, b: 1, uuid.Must(uuid.NewV7()): 1}, map[int]int{0: 1, 1: 1, 7: 1}, []string{"1 stored events were never sent"}},
		{"twice", map[uuid.UUID]int{a: 1, b: 1, c: 1}, map[int]int{0: 1, 1: 2}, []string{"1 events are stored twice"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := differences(l, tc.stored, tc.numbers); !slices.Equal(got, tc.want) {
				t.Errorf("differences: %q, want %q", got, tc.want)
			}
		})
	}
}
