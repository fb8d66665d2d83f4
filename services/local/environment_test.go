package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// opened is a pair in a home, of which nothing has been started.
func opened(t *testing.T, home string) *devservers.Pair {
	t.Helper()
	kind, err := devservers.ParseKind(os.Getenv(testbed.KindVariable))
	if err != nil {
		t.Fatal(err)
	}
	if kind, err = devservers.Choose(t.Context(), kind); err != nil {
		t.Fatal(err) // make test has installed them
	}
	pair, err := devservers.Open(t.Context(), devservers.Options{Dir: filepath.Join(home, string(kind)), Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pair.Close()
		removeHome(t, home)
	})
	return pair
}

// Our own binaries have nothing to say against the file that we write for them.
func TestEnvFileHasNoUnknownSettings(t *testing.T) {
	home := t.TempDir()
	pair := opened(t, home)
	l := &local{home: home, err: io.Discard}
	p, err := l.loadOrInit(pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, binary := range []config.Binary{config.ForLetters, config.ForConsumer, config.ForProducer} {
		cfg, err := config.Load(binary, p.variables(pair), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range cfg.Warnings() {
			t.Errorf("warned of: %s", w)
		}
	}
}

// The banner says where the data are, which for root is not always the home.
func TestBannerNamesTheData(t *testing.T) {
	home := filepath.Join(t.TempDir(), "o'brien")
	pair := opened(t, home)
	got := dataOf(home, pair)
	folder := pair.Folder()
	switch {
	case pair.Kind() == devservers.Docker:
		if !strings.Contains(got, "docker") {
			t.Errorf("in docker: %q", got)
		}
	case strings.HasPrefix(folder, home):
		if got != home {
			t.Errorf("they are in %s, said: %q", folder, got)
		}
	default:
		if !strings.HasPrefix(got, folder+", ") || !strings.HasSuffix(got, home) {
			t.Errorf("they are in %s, said: %q", folder, got)
		}
	}
}

// A start that takes long says on what it waits, and only then.
func TestStartsAreNotSilent(t *testing.T) {
	told := make(chan string, 100)
	l := &local{err: lines(told)}
	ready := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.startAll(t.Context(), 20*time.Millisecond, map[string]func(context.Context) error{
			"PostgreSQL": func(context.Context) error { return errors.New("no room") },
			"RabbitMQ":   func(context.Context) error { <-ready; return nil },
		})
	}()
	for range 2 {
		select {
		case line := <-told:
			if !strings.Contains(line, "still starting RabbitMQ, after ") && !strings.Contains(line, "still starting PostgreSQL and RabbitMQ, after ") {
				t.Errorf("said: %s", line)
			}
		case <-time.After(time.Minute):
			t.Fatal("it says nothing")
		}
	}
	close(ready)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "no room") {
		t.Error(err)
	}
	quiet := &local{err: lines(told)}
	for len(told) > 0 {
		<-told
	}
	if err := quiet.startAll(t.Context(), time.Hour, map[string]func(context.Context) error{"a": func(context.Context) error { return nil }}); err != nil || len(told) > 0 {
		t.Errorf("%v, %d lines of a start that was quick", err, len(told))
	}
}

// lines sends each write on.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
