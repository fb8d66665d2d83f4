package process

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// CleanEnv is the environment of a server: nothing of ours that could steer it
// (PG*, RABBITMQ_*, ERL_*) or that it has no business to know.
func CleanEnv(home string) []string {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/opt/homebrew/bin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += string(filepath.ListSeparator) + dir
		}
	}
	return []string{"PATH=" + path, "HOME=" + home, "LANG=C.UTF-8", "TZ=UTC"}
}

// ShellLine sets the environment that differs from a user's own and runs the tool.
func (p *Process) ShellLine(argv ...string) string {
	var b strings.Builder
	b.WriteString("env -u RABBITMQ_ERLANG_COOKIE")
	for _, kv := range p.Env {
		if !strings.HasPrefix(kv, "PATH=") {
			b.WriteString(" " + engine.Quote(kv))
		}
	}
	for _, a := range argv {
		b.WriteString(" " + engine.Quote(a))
	}
	return b.String() + ` "$@"`
}
