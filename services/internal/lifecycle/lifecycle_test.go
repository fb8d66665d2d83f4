package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trailpost/trailpost/services/internal/lifecycle"
)

// All are stopped, the last first, though one fails; the error names it; none is stopped twice.
func TestStops(t *testing.T) {
	var s lifecycle.Stops
	var stopped []string
	fault := errors.New("no time")
	for _, name := range []string{"tracing", "publisher", "server"} {
		s.OnStop(name, func(context.Context) error {
			stopped = append(stopped, name)
			if name == "publisher" {
				return fault
			}
			return nil
		})
	}
	err := s.Stop(t.Context())
	if !errors.Is(err, fault) || err.Error() != "stop publisher: no time" {
		t.Errorf("error %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if want := []string{"server", "publisher", "tracing"}; !slices.Equal(stopped, want) {
		t.Errorf("stopped %q, want %q", stopped, want)
	}
}

// Its functions end with it, and are waited for, though the caller's time is over.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := lifecycle.NewBackground().Stop(t.Context()); err != nil {
			t.Errorf("nothing runs: %v", err)
		}
		b := lifecycle.NewBackground()
		var ended time.Time
		b.Go(func(ctx context.Context) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = time.Now()
		})
		start := time.Now()
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Stop(over); err != nil || ended.Sub(start) != time.Second {
			t.Errorf("%v; ended after %s", err, ended.Sub(start))
		}
	})
}
