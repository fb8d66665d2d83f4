package docker

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// The images that docker runs.
const (
	PostgresImage = "postgres:18"
	RabbitImage   = "rabbitmq:4.3-management"
)

// Label marks everything we leave with docker; its value is the id of the pair.
const Label = "org.trailpost.servers"

// Command is a docker command.
func Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "docker", args...)
}

// Answers reports why docker can't be used.
func Answers(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("docker is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := engine.Run(Command(ctx, "version", "--format", "{{.Server.Version}}"), ""); err != nil {
		return fmt.Errorf("docker does not answer: %w", err)
	}
	return nil
}

// Prepare pulls the images that are missing. It reports whether the
// containers must use the host's network: when docker has no bridge to publish
// ports from.
func Prepare(ctx context.Context, progress func(string)) (hostNet bool, err error) {
	for _, image := range []string{PostgresImage, RabbitImage} {
		if _, err := engine.Run(Command(ctx, "image", "inspect", image), ""); err == nil {
			continue
		}
		progress("pulling " + image)
		if _, err := engine.Run(Command(ctx, "pull", "--quiet", image), ""); err != nil {
			return false, fmt.Errorf("docker pull: %w", err)
		}
	}
	out, err := engine.Run(Command(ctx, "network", "ls", "--quiet", "--filter", "driver=bridge", "--filter", "name=^bridge$"), "")
	if err != nil {
		return false, fmt.Errorf("docker network ls: %w", err)
	}
	return strings.TrimSpace(string(out)) == "", nil
}

// Network returns docker create's arguments to have ports on 127.0.0.1 alone, and
// the address that the server must listen on for that. A port is the same inside
// and outside, so that a tool in the container finds the server as one outside does.
// 0 is no port.
func Network(host bool, ports ...int) (args []string, listen string) {
	if host {
		return []string{"--network", "host"}, "127.0.0.1"
	}
	for _, port := range ports {
		if port != 0 {
			p := strconv.Itoa(port)
			args = append(args, "--publish", "127.0.0.1:"+p+":"+p)
		}
	}
	return args, "0.0.0.0"
}
