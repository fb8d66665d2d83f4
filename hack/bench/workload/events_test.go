package workload

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestIDs(t *testing.T) {
	g, before := NewIDs(time.Now().Add(-time.Minute)), uuid.UUID{}
	for range 1000 {
		id := g.Next()
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%s is version %d of %s", id, id.Version(), id.Variant())
		}
		if id.String() <= before.String() {
			t.Fatalf("%s comes after %s", id, before)
		}
		before = id
	}
	sec, nsec := before.Time().UnixTime()
	if age := time.Since(time.Unix(sec, nsec)); age < 50*time.Second || age > 2*time.Minute {
		t.Errorf("%s is %s old", before, age)
	}
}
