package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// lastYear is a month that may go, and its table.
func lastYear() (month, table string) {
	now := time.Now().UTC()
	first := time.Date(now.Year(), now.Month()-15, 1, 0, 0, 0, 0, time.UTC)
	return first.Format("2006-01"), first.Format("log_events_y2006m01")
}

// addOldEvents makes a month of so many events.
func addOldEvents(t *testing.T, db testbed.DB, month string, count int) {
	t.Helper()
	owner := db.Connect(t, db.Owner)
	_, err := owner.PgConn().Exec(t.Context(), fmt.Sprintf(`
		INSERT INTO review_sessions (session_id, user_id) VALUES (1, 1);
		INSERT INTO log_events (event_id, session_id, event_type, payload, "timestamp", received_at)
		SELECT event_id_floor('%[1]s-01Z'::timestamptz + n * interval '1 minute'), 1, 'user_action', '{"button": "save"}', now(), now()
		  FROM generate_series(1, %[2]d) n`, month, count)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	testbed.EnsurePartitions(t, owner, 3)
}

// testPartitions takes a month through its states with the commands.
func testPartitions(t *testing.T) {
	db := testbed.Postgres(t)
	month, table := lastYear()
	addOldEvents(t, db, month, 7)
	env, dir := settings(db), t.TempDir()

	// state is what list says of the month.
	state := func() string {
		t.Helper()
		for line := range strings.Lines(migrate(t, env, "partitions", "list", "--exact", "-o", "json").stdout) {
			var p struct {
				Month, State, Table string
				Rows                int
			}
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if p.Month == month && p.Table == table {
				return fmt.Sprint(p.State, " ", p.Rows)
			}
		}
		return ""
	}
	for _, step := range []struct {
		args   []string
		stderr string
		state  string
	}{
		{[]string{"ensure", "--months=5"}, "2 partitions made\n", "attached 7"},
		{[]string{"detach", "--older-than=365d", "--dry-run"}, "", "attached 7"},
		{[]string{"detach", "--older-than=365d"}, "1 months detached\n", "detached 7"},
		{[]string{"attach", "--month=" + month}, "1 months attached\n", "attached 7"},
		{[]string{"detach", "--older-than=8760h"}, "1 months detached\n", "detached 7"},
		{[]string{"export", "--dir", dir}, "1 months are exported\n", "detached 7"},
		{[]string{"verify", "--dir", dir, "--month", month}, "", "detached 7"},
		{[]string{"verify", "--dir", dir, "--database"}, "", "detached 7"},
		{[]string{"drop", "--dir", dir}, "1 months dropped\n", "dropped 7"},
		{[]string{"retire", "--older-than=365d", "--dir", dir}, "0 months retired\n", "dropped 7"},
		{[]string{"check-dir", "--dir", dir}, "", "dropped 7"},
	} {
		r := migrate(t, env, append([]string{"partitions"}, step.args...)...)
		if !strings.HasSuffix(r.stderr, step.stderr) {
			t.Errorf("%s: %s, want %q", step.args[0], r.stderr, step.stderr)
		}
		if got := state(); got != step.state {
			t.Errorf("after %s: %s, want %s", step.args[0], got, step.state)
		}
	}
	export := table + ".2" // the month had been attached again, and may have been exported before that
	for line, want := range map[string]string{
		month + ` +dropped +7 +0 B +` + table + ` +` + regexp.QuoteMeta(export) + `\.ndjson\.zst`: "the month",
		`- +default +0 +[0-9.]+ KiB +log_events_default +-`:                                       "the default partition",
	} {
		if table := migrate(t, env, "partitions", "list").stdout; !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(table) {
			t.Errorf("list does not show %s\n%s", want, table)
		}
	}

	if err := os.Truncate(filepath.Join(dir, export+".ndjson.zst"), 30); err != nil {
		t.Fatal(err)
	}
	if r := run(t, nil, "partitions", "verify", "--dir", dir); r.code != 1 || !strings.HasPrefix(r.stdout, "FAULT\t") ||
		r.stderr != "migrate: 1 exports are not what they should be\n" {
		t.Errorf("verify of half a file: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	// Moved away, both of them: only the database knows.
	for _, suffix := range []string{".ndjson.zst", ".manifest.json"} {
		if err := os.Remove(filepath.Join(dir, export+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	if r := run(t, env, "partitions", "verify", "--dir", dir, "--database"); r.code != 1 ||
		!strings.Contains(r.stdout, "is in "+export+".ndjson.zst, which is not in "+dir) {
		t.Errorf("verify of what was moved away: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func testPartitionsRefuse(t *testing.T) {
	db := testbed.Postgres(t)
	env := settings(db)
	long := append(slices.Clone(env), "EVENT_ID_MAX_AGE=60d")
	writer := append(slices.Clone(env), "MIGRATE_DATABASE_USER="+db.Writer.Name, "MIGRATE_DATABASE_PASSWORD="+db.Writer.Password)
	dir := t.TempDir()
	for _, tc := range []struct {
		args string
		env  []string
		code int
		want string
	}{
		{"retire --older-than 30d --dir " + dir, env, 1, "months must be kept for at least 31d, not 30d: clients may still retry their events"},
		{"detach --older-than 60d", long, 1, "months must be kept for at least 61d, not 60d"},
		{"detach --older-than 400", env, 1, "at least 31d, not 6m40s"},
		{"detach --older-than soon", env, 1, `"soon" is not a duration such as 400d`},
		{"detach", env, 1, `required flag(s) "older-than" not set`},
		{"retire --older-than 400d", env, 1, `required flag(s) "dir" not set`},
		{"export --dir " + dir + " --month 2025", env, 1, `"2025" is not a month such as 2025-09`},
		{"export --dir " + dir + " --month 1999-01", env, 1, "there is no table of 1999-01"},
		{"drop", env, 1, "drop needs either --dir"},
		{"drop --without-export --dir " + dir, env, 1, "drop needs either --dir"},
		{"drop --without-export", env, 1, "drop --without-export needs --month"},
		{"ensure --months 25", env, 1, "--months must be 1 to 24"},
		{"list -o yaml", env, 1, "--output must be table or json"},
		{"list --patience 0s", env, 1, "--patience must be more than 0"},
		{"verify --dir " + dir + "/nowhere", env, 1, "no such file or directory"},
		{"verify --dir " + dir, env, 1, "has no exports"},
		{"verify --database --dir " + dir, env, 1, "has no exports"},
		{"verify --database --dir " + dir, env[:3], 2, "MIGRATE_DATABASE_PASSWORD"},
		{"check-dir --dir " + dir + "/nowhere", env, 1, "no such file or directory"},
		{"list", writer, 1, "only the owner of the trail may look after its partitions"},
		{"retire --older-than 400d --dir " + dir, writer, 1, "only the owner of the trail may look after its partitions"},
		{"list", env[:3], 2, "MIGRATE_DATABASE_PASSWORD"},
	} {
		r := run(t, tc.env, append([]string{"partitions"}, strings.Fields(tc.args)...)...)
		if r.code != tc.code || !strings.Contains(r.stderr, tc.want) || r.stdout != "" {
			t.Errorf("migrate partitions %s: exit %d, want %d\n%s%s\nwant %s", tc.args, r.code, tc.code, r.stdout, r.stderr, tc.want)
		}
	}
}

var docBlock = regexp.MustCompile("(?s)<!-- run -->\n```bash\n(.*?)```\n")

// testRetentionDocument runs what docs/retention.md shows, in its order, on a month of the right age.
func testRetentionDocument(t *testing.T) {
	db := testbed.Postgres(t)
	month, table := lastYear()
	addOldEvents(t, db, month, 40)
	text, err := os.ReadFile("../../docs/retention.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "exports"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(settings(db), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "HOME="+dir,
		"PGHOST="+db.Host, fmt.Sprintf("PGPORT=%d", db.Port), "PGDATABASE="+db.Name, "PGUSER="+db.Owner.Name, "PGPASSWORD="+db.Owner.Password)
	var output strings.Builder
	blocks := docBlock.FindAllStringSubmatch(string(text), -1)
	for _, block := range blocks {
		code := strings.NewReplacer("log_events_y2025m09", table, "2025-09", month).Replace(block[1])
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", code)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, code, out)
		}
		output.Write(out)
	}
	if len(blocks) != 5 {
		t.Errorf("%d blocks were run", len(blocks))
	}
	for _, want := range []string{"1 months retired", "OK\texports/", table + ".ndjson.zst: OK", "INSERT 0 40", `{"button":"save"}`} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("no %q in\n%s", want, &output)
		}
	}
	// The hash of the manifest, that of the lines by python3, and the one that PostgreSQL has kept are one.
	hash := regexp.MustCompile(`(?m)^"([0-9a-f]{64})"$`).FindStringSubmatch(output.String())
	if len(hash) != 2 || strings.Count(output.String(), hash[1]) != 3 {
		t.Errorf("content_sha256 is not the same three times: %v\n%s", hash, &output)
	}
}
