package devservers

import "testing"

func TestFreePortsAreNotRepeated(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		p, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[p] || p < lowPort || p >= highPort {
			t.Fatalf("port %d", p)
		}
		seen[p] = true
	}
}
