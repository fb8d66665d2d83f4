package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/trailpost/trailpost/hack/bench/service"
)

func (b *bench) producer(ctx context.Context, settings ...string) (*service.Service, error) {
	return b.start(ctx, "producer", "PRODUCER", settings)
}

func (b *bench) consumer(ctx context.Context, settings ...string) (*service.Service, error) {
	return b.start(ctx, "consumer", "CONSUMER", settings)
}

// withBoth has do use a producer and a consumer of an empty trail, and leaves it empty.
func (b *bench) withBoth(ctx context.Context, do func(p, c *service.Service) error) (err error) {
	if err := b.clean(ctx); err != nil {
		return err
	}
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.clean(ctx)) }()
	c, err := b.consumer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	return do(p, c)
}

// start runs a service and waits until it is ready.
func (b *bench) start(ctx context.Context, name, prefix string, settings []string) (*service.Service, error) {
	binary, err := b.binary(name)
	if err != nil {
		return nil, err
	}
	port, err := service.FreePort()
	if err != nil {
		return nil, err
	}
	settings = append(append(b.settings(), prefix+"_HOST=127.0.0.1", prefix+"_PORT="+port), settings...)
	return b.run(ctx, service.Program{Binary: binary, Port: port, Ready: "/readyz"}, settings)
}

// migrate runs a command of migrate's.
func (b *bench) migrate(ctx context.Context, command string) error {
	binary, err := b.binary("migrate")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, command)
	cmd.Dir, cmd.Env = b.logs, b.settings()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate %s: %w: %s", command, err, out)
	}
	return nil
}

// run starts a program of the bench's.
func (b *bench) run(ctx context.Context, p service.Program, settings []string) (*service.Service, error) {
	p.Logs, p.Profiled = b.logs, b.profiles != "" && filepath.Base(p.Binary) != "bench"
	return service.Run(ctx, p, settings)
}
