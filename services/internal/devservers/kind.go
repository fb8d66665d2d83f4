package devservers

import (
	"context"
	"errors"
	"fmt"
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
		return Packages, packagesInstalled()
	case Docker:
		return Docker, dockerAnswers(ctx)
	}
	packages := packagesInstalled()
	if packages == nil {
		return Packages, nil
	}
	docker := dockerAnswers(ctx)
	if docker == nil {
		return Docker, nil
	}
	return "", fmt.Errorf("no servers to be had: %w", errors.Join(packages, docker))
}
