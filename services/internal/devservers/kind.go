package devservers

import (
	"context"
	"errors"
	"fmt"

	"github.com/trailpost/trailpost/services/internal/devservers/docker"
	"github.com/trailpost/trailpost/services/internal/devservers/packages"
)

// Kind says where the servers come from.
type Kind string

const (
	Auto     Kind = "auto"     // packages if they are installed, else docker if it answers
	Packages Kind = "packages" // programs of the system's packages
	Docker   Kind = "docker"   // containers of public images
)

// ParseKind reads the value of a flag or a variable; "" is Auto.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case "":
		return Auto, nil
	case Auto, Packages, Docker:
		return k, nil
	}
	return "", fmt.Errorf("servers %q: want auto, packages or docker", s)
}

// Choose settles what Auto means on this machine, and reports why a kind can't be
// had. It starts nothing.
func Choose(ctx context.Context, k Kind) (Kind, error) {
	switch k {
	case Packages:
		return Packages, packages.Installed()
	case Docker:
		return Docker, docker.Answers(ctx)
	}
	noPackages := packages.Installed()
	if noPackages == nil {
		return Packages, nil
	}
	noDocker := docker.Answers(ctx)
	if noDocker == nil {
		return Docker, nil
	}
	return "", fmt.Errorf("no servers to be had: %w", errors.Join(noPackages, noDocker))
}
