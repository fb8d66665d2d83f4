package process

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// fallbackRoot holds the folders of servers that root starts from a folder that the
// servers' users can't reach.
const fallbackRoot = "/var/lib/trailpost-local"

// ReachableDir returns dir if every account reaches it, else a folder of the same
// identity under /var/lib that they do reach; so, where accounts are others than ours,
// for a path with an apostrophe, in which RabbitMQ does not start.
func ReachableDir(dir string, accounts ...*Account) (string, error) {
	if err := MkdirTraversable(dir); err != nil {
		return "", err
	}
	fits := func(dir string) bool {
		for _, a := range accounts {
			if !a.reaches(dir) || a != nil && strings.Contains(dir, "'") {
				return false
			}
		}
		return true
	}
	if fits(dir) {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	other := filepath.Join(fallbackRoot, hex.EncodeToString(sum[:6]))
	if err := MkdirTraversable(other); err != nil {
		return "", err
	}
	if !fits(other) {
		return "", fmt.Errorf("neither %s nor %s can be reached by the servers' users", dir, other)
	}
	return other, nil
}

// MkdirTraversable makes a folder that others may pass through, and not list.
func MkdirTraversable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
}

// MkdirPrivate makes a folder that only the account can look into.
func MkdirPrivate(dir string, acct *Account) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return acct.Own(dir)
}
