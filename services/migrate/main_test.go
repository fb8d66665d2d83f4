package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// binary is the command, built once: the tests here are about processes.
var binary string

func TestMigrate(t *testing.T) {
	binary = filepath.Join(t.TempDir(), "migrate")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("UpByFiveProcessesAtOnce", testUpByFiveProcessesAtOnce)
	t.Run("KilledUp", testKilledUp)
	t.Run("InterruptedUp", testInterruptedUp)
	t.Run("Wait", testWait)
	t.Run("WaitThatSucceeds", testWaitThatSucceeds)
	t.Run("RolesThenUp", testRolesThenUp)
	t.Run("WhatItRefuses", testWhatItRefuses)
	t.Run("HelpNamesItsVariables", testHelpNamesItsVariables)
	t.Run("Partitions", testPartitions)
	t.Run("PartitionsRefuse", testPartitionsRefuse)
	t.Run("RetentionDocument", testRetentionDocument)
}

// process is `migrate args` with these settings alone. It runs in a folder without a .env.
func process(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	return cmd
}

func settings(db testbed.DB) []string {
	return []string{
		"DATABASE_HOST=" + db.Host, "DATABASE_PORT=" + strconv.Itoa(int(db.Port)), "DATABASE_NAME=" + db.Name,
		"MIGRATE_DATABASE_USER=" + db.Owner.Name, "MIGRATE_DATABASE_PASSWORD=" + db.Owner.Password,
	}
}

// result is how a process ended.
type result struct {
	code   int
	stdout string
	stderr string
}

func run(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := process(t, env, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// migrate is a run that must succeed.
func migrate(t *testing.T, env []string, args ...string) result {
	t.Helper()
	r := run(t, env, args...)
	if r.code != 0 {
		t.Fatalf("migrate %s: exit %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r
}

func versions(n uint) string { return fmt.Sprintf("database %d\nnewest %d\n", n, schema.Newest()) }

func testUpByFiveProcessesAtOnce(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	env := settings(db)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var steps int
	for range 5 {
		wg.Go(func() {
			r := migrate(t, env, "up")
			mu.Lock()
			defer mu.Unlock()
			steps += strings.Count(r.stderr, "schema migrated")
		})
	}
	wg.Wait()
	if steps != int(schema.Newest()) {
		t.Errorf("the five made %d steps, want %d", steps, schema.Newest())
	}
	if got := migrate(t, env, "version").stdout; got != versions(schema.Newest()) {
		t.Errorf("version: %q", got)
	}

	migrate(t, env, "down", "2")
	if got := migrate(t, env, "version").stdout; got != versions(schema.Newest()-2) {
		t.Errorf("version after down 2: %q", got)
	}
	migrate(t, env, "down", "--all")
	if got := migrate(t, env, "version").stdout; got != versions(0) {
		t.Errorf("version after down --all: %q", got)
	}
	migrate(t, env, "up")
	migrate(t, env, "force", "3")
	if got := migrate(t, env, "version").stdout; got != versions(3) {
		t.Errorf("version after force 3: %q", got)
	}
}

// testKilledUp kills `migrate up` at twenty moments, spread over what it does between its first statement and its end,
// and every time the next `up` goes on from wherever that was.
func testKilledUp(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	env, owner := settings(db), db.Connect(t, db.Owner)
	versionNow := func() (v uint) {
		t.Helper()
		v, err := schema.Version(t.Context(), db.ConnConfig(db.Owner))
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		return v
	}
	session := func() (pid int) {
		t.Helper()
		const find = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'trailpost-migrate'"
		if err := owner.QueryRow(t.Context(), find).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}

	// upUntilSeen starts an up and returns when PostgreSQL knows it. What is returned is closed when it has ended.
	upUntilSeen := func() (*exec.Cmd, <-chan struct{}) {
		t.Helper()
		cmd, ended := process(t, env, "up"), make(chan struct{})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = cmd.Wait(); close(ended) }()
		for session() == 0 {
			select {
			case <-ended:
				t.Fatal("up ended before it was seen")
			default:
			}
		}
		return cmd, ended
	}

	_, ended := upUntilSeen()
	start := time.Now()
	<-ended
	whole := time.Since(start)
	migrate(t, env, "down", "--all")

	want := describe(t, testbed.Postgres(t))
	between := 0 // kills that found some steps done, and not all
	for i := range 20 {
		cmd, ended := upUntilSeen()
		moment := whole * time.Duration(i) / 20
		select {
		case <-time.After(moment): // the moment is what is tested
		case <-ended:
		}
		_ = cmd.Process.Kill()
		<-ended

		// The server may not have noticed yet: the next up waits for what it has of the last.
		if v := versionNow(); v > 0 && v < schema.Newest() {
			between++
		}
		if r := run(t, env, "up"); r.code != 0 {
			t.Fatalf("after a kill at %v: exit %d\n%s", moment, r.code, r.stderr)
		}
		if v := versionNow(); v != schema.Newest() {
			t.Fatalf("after a kill at %v and up: version %d", moment, v)
		}
		if got := describe(t, db); got != want {
			t.Fatalf("after a kill at %v and up, the schema is another:\n%s\nwant\n%s", moment, got, want)
		}
		migrate(t, env, "down", "--all")
	}
	if between == 0 {
		t.Error("no kill fell between the first step and the last: this test does not test what it says")
	}
	t.Logf("%d of 20 kills fell between two steps", between)
}

// describe is the tables, columns and grants, in brief; package schema's tests look closer.
func describe(t *testing.T, db testbed.DB) (text string) {
	t.Helper()
	const list = `SELECT string_agg(attrelid::regclass || '.' || attname || ' ' || coalesce(relacl::text, '') || coalesce(attacl::text, ''), E'\n' ORDER BY attrelid::regclass::text, attname)
		FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0`
	if err := db.Connect(t, db.Owner).QueryRow(t.Context(), list).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// testWait starts `up --wait` before there is a server.
func testWait(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	away := append(settings(db), "DATABASE_PORT=1", "DATABASE_SSLMODE=disable")

	start := time.Now()
	r := run(t, away, "up", "--wait=1s")
	if r.code != 1 || !strings.Contains(r.stderr, "waited 1s for the database: ") || time.Since(start) > 20*time.Second {
		t.Errorf("up --wait=1s without a server: exit %d after %v\n%s", r.code, time.Since(start), r.stderr)
	}
	if n := strings.Count(r.stderr, "waiting for the database"); n != 1 {
		t.Errorf("the same reason was told %d times, want once\n%s", n, r.stderr)
	}
	if r := run(t, away, "up"); r.code != 1 || strings.Count(strings.TrimSpace(r.stderr), "\n") != 0 {
		t.Errorf("up without --wait: exit %d\n%s", r.code, r.stderr)
	}
	migrate(t, settings(db), "up", "--wait")
	administered := slices.Concat(away, []string{
		"DATABASE_USER=" + db.Writer.Name, "DATABASE_PASSWORD=" + db.Writer.Password,
		"READER_DATABASE_USER=" + db.Reader.Name, "READER_DATABASE_PASSWORD=" + db.Reader.Password,
	})
	if r := run(t, administered, "roles", "--wait=1s"); r.code != 1 || !strings.Contains(r.stderr, "waited 1s for the database: ") {
		t.Errorf("roles --wait=1s without a server: exit %d\n%s", r.code, r.stderr)
	}

	// What does not pass by itself is not waited for.
	wrong := append(settings(db), "MIGRATE_DATABASE_PASSWORD=secret-and-wrong")
	if r := run(t, wrong, "up", "--wait"); r.code != 1 || !strings.Contains(r.stderr, "28P01") || strings.Contains(r.stderr, "secret-and-wrong") {
		t.Errorf("a wrong password: exit %d\n%s", r.code, r.stderr)
	}
}

// testWaitThatSucceeds: the database comes while `up --wait` waits.
func testWaitThatSucceeds(t *testing.T) {
	s := testbed.PrivateServers(t)
	db := s.EmptyDatabase(t)
	if err := s.Postgres.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	cmd := process(t, settings(db), "up", "--wait")
	waiting := &watcher{until: "waiting for the database", seen: make(chan struct{})}
	cmd.Stderr = waiting
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-waiting.seen
	if err := s.Postgres.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &waiting.text)
	}
}

// watcher is a writer that tells when a text has been written.
type watcher struct {
	until string
	seen  chan struct{}
	text  bytes.Buffer
	done  bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.text.Write(p)
	if !w.done && bytes.Contains(w.text.Bytes(), []byte(w.until)) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

func testRolesThenUp(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	env := append(settings(db), "DATABASE_NAME="+db.Name+"_2",
		"DATABASE_USER="+db.Writer.Name, "DATABASE_PASSWORD="+db.Writer.Password,
		"READER_DATABASE_USER="+db.Reader.Name, "READER_DATABASE_PASSWORD="+db.Reader.Password,
		"ADMIN_DATABASE_USER="+db.Admin.Name, "ADMIN_DATABASE_PASSWORD="+db.Admin.Password)
	if r := run(t, env, "up"); r.code != 1 || !strings.Contains(r.stderr, "3D000") {
		t.Errorf("up without the database: exit %d\n%s", r.code, r.stderr)
	}
	for range 2 {
		r := migrate(t, env, "roles")
		for _, password := range []string{db.Owner.Password, db.Writer.Password, db.Reader.Password, db.Admin.Password} {
			if strings.Contains(r.stdout+r.stderr, password) {
				t.Errorf("the output has a password\n%s%s", r.stdout, r.stderr)
			}
		}
		migrate(t, env, "up")
	}
	db2 := db
	db2.Name += "_2"
	if _, err := db.Connect(t, db.Admin).Exec(t.Context(), `DROP DATABASE "`+db2.Name+`" WITH (FORCE)`); err != nil {
		t.Error(err)
	}
}

func testWhatItRefuses(t *testing.T) {
	db := testbed.Postgres(t)
	env := settings(db)
	for _, tc := range []struct {
		args []string
		env  []string
		code int
		want string
	}{
		{[]string{"down"}, env, 1, "migrate: down needs either the number of migrations to take back, or --all\n"},
		{[]string{"down", "1", "2"}, env, 1, "migrate: down needs either the number of migrations to take back, or --all\n"},
		{[]string{"down", "1", "--all"}, env, 1, "migrate: down needs either the number of migrations to take back, or --all\n"},
		{[]string{"down", "0"}, env, 1, "migrate: down: \"0\" is not a number from 1 up\n"},
		{[]string{"down", "all"}, env, 1, "migrate: down: \"all\" is not a number from 1 up\n"},
		{[]string{"down", "99"}, env, 1, fmt.Sprintf("migrate: migrating: down 99: the schema is at version %[1]d, only %[1]d steps can be taken back\n", schema.Newest())},
		{[]string{"force"}, env, 1, "migrate: force needs the version that the database is at\n"},
		{[]string{"force", "99"}, env, 1, fmt.Sprintf("migrate: migrating: force 99: this binary knows no version 99, its newest is %d\n", schema.Newest())},
		{[]string{"sideways"}, env, 1, "migrate: unknown command \"sideways\" for \"migrate\"\n"},
		{[]string{"up", "now"}, env, 1, "migrate: unknown command \"now\" for \"migrate up\"\n"},
		{[]string{"up"}, []string{"DATABASE_PORT=x", "DATABASE_SSLMODE=perhaps"}, 2, "DATABASE_PORT: must be "},
	} {
		r := run(t, tc.env, tc.args...)
		if r.code != tc.code || !strings.HasPrefix(r.stderr, tc.want) || r.stdout != "" {
			t.Errorf("migrate %s: exit %d, want %d\n%s%s\nwant %s", strings.Join(tc.args, " "), r.code, tc.code, r.stdout, r.stderr, tc.want)
		}
	}
	r := run(t, []string{"DATABASE_PORT=x", "DATABASE_SSLMODE=perhaps"}, "roles")
	if n := strings.Count(r.stderr, "\n"); r.code != 2 || n != 5 {
		t.Errorf("five faults: exit %d, %d lines\n%s", r.code, n, r.stderr)
	}
	if got := migrate(t, env, "version").stdout; got != versions(schema.Newest()) {
		t.Errorf("version: %q", got)
	}
}

// testInterruptedUp: a signal lets the step in hand finish, and no other begin.
func testInterruptedUp(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	env, owner := settings(db), db.Connect(t, db.Owner)
	tx, err := db.Connect(t, db.Owner).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "CREATE TABLE users ()"); err != nil { // the first step waits for that name
		t.Fatal(err)
	}
	cmd := process(t, env, "up")
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for waits := false; !waits; time.Sleep(5 * time.Millisecond) { // between two looks
		const wait = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'trailpost-migrate' AND wait_event_type = 'Lock')"
		if err := owner.QueryRow(t.Context(), wait).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	v, verr := schema.Version(t.Context(), db.ConnConfig(db.Owner))
	if verr != nil || err == nil || !strings.Contains(stderr.String(), "interrupt signal received") || v != 1 {
		t.Errorf("interrupted within the first step: %v, %v, version %d\n%s", err, verr, v, stderr)
	}
	migrate(t, env, "up")
}

func testHelpNamesItsVariables(t *testing.T) {
	for _, tc := range []struct {
		args  []string
		names []string
		lacks string
	}{
		{[]string{"--help"}, []string{"MIGRATE_DATABASE_PASSWORD", "ADMIN_DATABASE_USER", "roles"}, "RABBITMQ"},
		{[]string{"partitions", "retire", "--help"}, []string{"EVENT_ID_MAX_AGE", "--older-than", "--dir"}, "ADMIN_DATABASE_USER"},
		{[]string{"up", "--help"}, []string{"MIGRATE_DATABASE_PASSWORD", "--wait"}, "ADMIN_DATABASE_USER"},
		{[]string{"roles", "--help"}, []string{"ADMIN_DATABASE_USER", "READER_DATABASE_PASSWORD"}, "RABBITMQ"},
		{nil, []string{"Available Commands"}, "RABBITMQ"},
	} {
		r := migrate(t, nil, tc.args...)
		if i := slices.IndexFunc(tc.names, func(name string) bool { return !strings.Contains(r.stdout, name) }); i >= 0 {
			t.Errorf("migrate %v does not name %s\n%s", tc.args, tc.names[i], r.stdout)
		}
		if strings.Contains(r.stdout, tc.lacks) {
			t.Errorf("migrate %v names %s", tc.args, tc.lacks)
		}
	}
}
