package attach

import (
	"testing"

	"github.com/google/uuid"
)

func TestSuccessor(t *testing.T) {
	for id, want := range map[string]string{
		"00000000-0000-0000-0000-000000000000": "00000000-0000-0000-0000-000000000001",
		"00000000-0000-7000-80ff-ffffffffffff": "00000000-0000-7000-8100-000000000000",
		"ffffffff-ffff-ffff-ffff-ffffffffffff": "ffffffff-ffff-ffff-ffff-ffffffffffff",
	} {
		if got := successor(uuid.MustParse(id)).String(); got != want {
			t.Errorf("after %s: %s, want %s", id, got, want)
		}
	}
}
