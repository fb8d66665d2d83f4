package devservers

import (
	"context"
	"errors"
	"testing"

	"github.com/trailpost/trailpost/services/internal/devservers/process"
)

func TestAttachedServersAreNotOurs(t *testing.T) {
	s := &server{attached: true, engine: &process.Process{}}
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
