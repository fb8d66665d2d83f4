package devservers

import (
	"os"
	"path/filepath"
	"strings"
)

// ownFolder makes a folder that only the account can look into.
func ownFolder(dir string, acct *account) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return acct.own(dir)
}

// rotate puts a log that has grown beyond 8 MiB aside; one older one is kept.
func rotate(name string) error {
	fi, err := os.Stat(name)
	if os.IsNotExist(err) || err == nil && fi.Size() < 8<<20 {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(name, name+".1")
}

// cleanEnv is the environment of a server: nothing of ours that could steer it
// (PG*, RABBITMQ_*, ERL_*) or that it has no business to know.
func cleanEnv(home string) []string {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/opt/homebrew/bin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += string(filepath.ListSeparator) + dir
		}
	}
	return []string{"PATH=" + path, "HOME=" + home, "LANG=C.UTF-8", "TZ=UTC"}
}

// quote makes one word of shell out of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// wrapper sets the environment that differs from a user's own and runs the tool.
func (p *process) wrapper(argv ...string) string {
	var b strings.Builder
	b.WriteString("env -u RABBITMQ_ERLANG_COOKIE")
	for _, kv := range p.env {
		if !strings.HasPrefix(kv, "PATH=") {
			b.WriteString(" " + quote(kv))
		}
	}
	for _, a := range argv {
		b.WriteString(" " + quote(a))
	}
	return b.String() + ` "$@"`
}
