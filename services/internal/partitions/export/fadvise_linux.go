package export

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropPageCache has the kernel drop what it holds of a synced file in memory, so that reading it
// asks the disk. A file system that doesn't do so is no worse than without.
func dropPageCache(file *os.File) {
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
}
