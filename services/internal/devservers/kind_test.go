package devservers

import (
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/devservers/docker"
	"github.com/trailpost/trailpost/services/internal/devservers/packages"
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
	noPackages, noDocker := packages.Installed(), docker.Answers(t.Context())
	got, err := Choose(t.Context(), Auto)
	switch {
	case noPackages == nil:
		if got != Packages || err != nil {
			t.Errorf("with packages: %q, %v", got, err)
		}
	case noDocker == nil:
		if got != Docker || err != nil {
			t.Errorf("with docker alone: %q, %v", got, err)
		}
	case err == nil:
		t.Errorf("with neither: %q", got)
	}

	t.Setenv("PATH", "/nowhere") // no docker
	defer func(p, r []string) { packages.PostgresDirs, packages.RabbitDirs = p, r }(packages.PostgresDirs, packages.RabbitDirs)
	packages.PostgresDirs, packages.RabbitDirs = nil, nil
	_, err = Choose(t.Context(), Auto)
	for _, name := range []string{"PostgreSQL", "RabbitMQ", "docker"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with nothing, %s is not named: %v", name, err)
		}
	}
}
