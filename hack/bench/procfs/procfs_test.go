package procfs

import (
	"os"
	"testing"
)

// What /proc tells of this very process.
func TestProcesses(t *testing.T) {
	all, err := Processes()
	if err != nil {
		t.Fatal(err)
	}
	if p, there := all[os.Getpid()]; !there || p.Parent != os.Getppid() {
		t.Errorf("found %+v, %t, want the parent %d", p, there, os.Getppid())
	}
	if peak, err := PeakMemory(os.Getpid()); err != nil || peak < 1 || peak > 4096 {
		t.Errorf("%g MiB, %v", peak, err)
	}
}
