package devservers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// sheltered holds the folders of servers that root starts from a folder that the
// servers' users can't reach.
const sheltered = "/var/lib/trailpost-local"

// account is the system user that a server runs as; nil is the present one.
type account struct {
	name     string
	uid, gid uint32
}

// accountOf returns the account for a package's user when we are root, since
// neither server runs as root, and nil otherwise.
func accountOf(name string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("the user that the server's package makes: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
}

// attributes makes a process the leader of a session, away from our terminal and
// its Ctrl-C, as this account.
func (a *account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own hands a file or folder to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// reaches tries whether the account can enter a folder. Trying it is the one
// answer that knows of every parent, group and access list.
func (a *account) reaches(dir string) bool {
	if a == nil {
		return true
	}
	cmd := exec.Command("/bin/sh", "-c", `cd -- "$1"`, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = a.attributes()
	return cmd.Run() == nil
}

// shelter returns dir if every account reaches it, else a folder of the same
// identity under /var/lib that they do reach; so, where accounts are others than ours,
// for a path with an apostrophe, in which RabbitMQ does not start.
func shelter(dir string, accounts ...*account) (string, error) {
	if err := openFolder(dir); err != nil {
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
	other := filepath.Join(sheltered, hex.EncodeToString(sum[:6]))
	if err := openFolder(other); err != nil {
		return "", err
	}
	if !fits(other) {
		return "", fmt.Errorf("neither %s nor %s can be reached by the servers' users", dir, other)
	}
	return other, nil
}

// openFolder makes a folder that others may pass through, and not list.
func openFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
}
