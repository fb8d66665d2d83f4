package followers

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

var (
	runs    = flag.Int("followers.runs", 2, "random runs of TestFollower")
	seed    = flag.Uint64("followers.seed", 0, "of the first run; 0: another each time")
	rows    = flag.Int("followers.rows", 100_000, "rows that TestPagesAreBounded reads")
	measure = flag.String("followers.o", "", "file for what TestPagesAreBounded measured")
)

func TestMain(m *testing.M) { testbed.Main(m) }

// program is the one of docs/following.md, as a file.
func program(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/following.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- run -->\n```bash\n(#!.*?)\n```\n").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/following.md has no program")
	}
	file := filepath.Join(t.TempDir(), "follow")
	if err := os.WriteFile(file, append(block[1], '\n'), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// follower keeps a copy by the program.
type follower struct {
	t       *testing.T
	program string
	folder  string
	page    int
	told    []string // the lines about new epochs
}

func newFollower(t *testing.T) *follower {
	t.Helper()
	return &follower{t: t, program: program(t), folder: t.TempDir(), page: 50}
}

// try calls the program once.
func (f *follower) try(ctx context.Context, db testbed.DB) error {
	f.t.Helper()
	cmd := exec.CommandContext(ctx, f.program, f.folder)
	cmd.Env = append(os.Environ(), "PGHOST="+db.Host, fmt.Sprintf("PGPORT=%d", db.Port), "PGDATABASE="+db.Name,
		"PGUSER="+db.Reader.Name, "PGPASSWORD="+db.Reader.Password, "PGSSLMODE=disable", "PGTZ=UTC",
		fmt.Sprintf("PAGE=%d", f.page))
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	for line := range strings.Lines(said.String()) {
		if strings.HasPrefix(line, "a new epoch: ") {
			f.told = append(f.told, strings.TrimSpace(line))
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	return nil
}

// follow is a call that must not fail.
func (f *follower) follow(db testbed.DB) {
	f.t.Helper()
	if err := f.try(f.t.Context(), db); err != nil {
		f.t.Fatal(err)
	}
}

// copied is what the follower has.
func (f *follower) copied() string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.folder, "trail.ndjson"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// trail is what it should have.
func trail(t *testing.T, db testbed.DB) string {
	t.Helper()
	conn := db.Connect(t, db.Reader)
	defer conn.Close(t.Context())
	list, err := conn.Query(t.Context(), `
		SELECT row_to_json(e)::text FROM (
			SELECT tx, event_id, session_id, event_type, username, "timestamp", received_at, received_from, source, source_id, payload
			FROM log_events ORDER BY tx, event_id) e`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(list, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// caughtUp follows until the copy equals the trail, which nobody adds to meanwhile. // A
// transaction of PostgreSQL's own, an ANALYZE, say, may hold the horizon back for a moment.
func (f *follower) caughtUp(db testbed.DB) {
	f.t.Helper()
	want := trail(f.t, db)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		f.follow(db)
		if f.copied() == want {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("told %q, the follower has\n%sand the trail\n%s", f.told, brief(f.copied()), brief(want))
		}
	}
}

// brief shows of each line what it is known by.
func brief(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(line[:min(len(line), 70)] + "\n")
	}
	return b.String()
}
