package devservers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseKind(t *testing.T) {
	for text, want := range map[string]Kind{"": Auto, "auto": Auto, "packages": Packages, "docker": Docker} {
		if got, err := ParseKind(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := ParseKind("Docker "); err == nil {
		t.Error("a kind that is none")
	}
}

// What can't be had is named, each thing, and Auto falls back to the other kind.
func TestChoose(t *testing.T) {
	packages, docker := packagesInstalled(), dockerAnswers(t.Context())
	got, err := Choose(t.Context(), Auto)
	switch {
	case packages == nil:
		if got != Packages || err != nil {
			t.Errorf("with packages: %q, %v", got, err)
		}
	case docker == nil:
		if got != Docker || err != nil {
			t.Errorf("with docker alone: %q, %v", got, err)
		}
	case err == nil:
		t.Errorf("with neither: %q", got)
	}

	t.Setenv("PATH", "/nowhere") // no docker
	defer func(p, r []string) { postgresBins, rabbitBins = p, r }(postgresBins, rabbitBins)
	postgresBins, rabbitBins = nil, nil
	_, err = Choose(t.Context(), Auto)
	for _, name := range []string{"PostgreSQL", "RabbitMQ", "docker"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with nothing, %s is not named: %v", name, err)
		}
	}
}

// Data of one version must not be opened by another.
func TestPostgresOfTheDataIsFound(t *testing.T) {
	defer func(p []string) { postgresBins = p }(postgresBins)
	dir := t.TempDir()
	postgresBins = []string{filepath.Join(dir, "*")}
	for _, version := range []string{"9.6.24", "15.18 (Debian 15.18-0)", "19beta1"} {
		major, _, _ := strings.Cut(strings.Fields(version)[0], ".")
		bin := filepath.Join(dir, "pg-"+strings.TrimSuffix(major, "beta1"))
		if err := os.Mkdir(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"postgres", "initdb"} {
			script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
			if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for major, want := range map[string]string{"": "pg-19", "15": "pg-15", "9": "pg-9"} {
		if got, err := postgresBin(major); err != nil || filepath.Base(got) != want {
			t.Errorf("version %q: %s, %v; want %s", major, got, err, want)
		}
	}
	if got, err := postgresBin("16"); err == nil {
		t.Errorf("version 16 is not there: %s", got)
	}
}

// As root, a folder that the servers' users can't enter has a stand-in that they can.
func TestShelter(t *testing.T) {
	nobody, err := accountOf("nobody")
	if err != nil {
		t.Fatal(err)
	}
	outer, err := os.MkdirTemp("", "trailpost-test-") // closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(outer)
	dir := filepath.Join(outer, "servers")
	got, err := shelter(dir, nobody)
	if err != nil {
		t.Fatal(err)
	}
	if nobody == nil { // we are not root: our folder is for ourselves
		if got != dir {
			t.Errorf("%s became %s", dir, got)
		}
		return
	}
	defer os.RemoveAll(got)
	if !strings.HasPrefix(got, sheltered) || !nobody.reaches(got) {
		t.Errorf("%s became %s", dir, got)
	}
	if again, err := shelter(dir, nobody); err != nil || again != got {
		t.Errorf("another time: %s, %v", again, err)
	}
	if err := os.Chmod(outer, 0o711); err != nil {
		t.Fatal(err)
	}
	if open, err := shelter(dir, nobody); err != nil || open != dir {
		t.Errorf("an open folder became %s, %v", open, err)
	}
	apostrophe := filepath.Join(outer, "o'brien", "servers")
	if err := os.Mkdir(filepath.Dir(apostrophe), 0o711); err != nil {
		t.Fatal(err)
	}
	moved, err := shelter(apostrophe, nobody)
	if err != nil || !strings.HasPrefix(moved, sheltered) {
		t.Errorf("%s became %s, %v", apostrophe, moved, err)
	}
	if moved != apostrophe {
		defer os.RemoveAll(moved)
	}
}

func TestAdvancedConfigTakesAnyPassword(t *testing.T) {
	got := rabbitAdvanced("a\"é", true)
	want := `[{rabbit, [{default_user, <<"trailpost">>}, {default_pass, <<97,34,195,169>>}, {loopback_users, [<<"trailpost">>]}]}].` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLastLines(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{{"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 9, "a\nb\nc\n"}, {"a\n\n\n", 1, "a\n"}} {
		if got := lastLines(test.text, test.n); got != test.want {
			t.Errorf("%q, %d: %q", test.text, test.n, got)
		}
	}
}

func TestLogSince(t *testing.T) {
	name := filepath.Join(t.TempDir(), "server.log")
	p := &process{logs: []string{name}}
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n")
	mark := p.mark()
	if got := p.since(mark, 10); got != "" {
		t.Errorf("nothing was logged: %q", got)
	}
	write("before\nafter\n")
	if got := p.since(mark, 10); got != "server.log:\nafter\n" {
		t.Errorf("%q", got)
	}
	write("new\n") // rotated
	if got := p.since(mark, 10); got != "server.log:\nnew\n" {
		t.Errorf("after a rotation: %q", got)
	}
}

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

func TestAttachedServersAreNotOurs(t *testing.T) {
	s := &server{attached: true, engine: &process{}}
	if err := s.Start(context.Background()); !errors.Is(err, ErrAttached) {
		t.Error(err)
	}
	if err := s.Stop(context.Background()); !errors.Is(err, ErrAttached) {
		t.Error(err)
	}
	if err := s.Kill(); !errors.Is(err, ErrAttached) {
		t.Error(err)
	}
}
