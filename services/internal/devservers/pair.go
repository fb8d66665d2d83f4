package devservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// Pair is a private PostgreSQL and a private RabbitMQ.
type Pair struct {
	Postgres *Postgres
	Rabbit   *Rabbit

	dir   string
	state state
	lock  *os.File // held by us and by the watchers of our servers
}

// Attach reaches the running servers of another process by its state file
// ([Pair.StateFile]). They can be used, not started, stopped or killed.
func Attach(file string) (*Pair, error) {
	p := &Pair{dir: filepath.Dir(file)}
	s, found, err := loadState(p.dir)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%s: no servers were started there", file)
	}
	p.state = s
	if err := p.build(); err != nil {
		return nil, err
	}
	p.Postgres.attached, p.Rabbit.attached = true, true
	return p, nil
}

// StateFile is what [Attach] reads.
func (p *Pair) StateFile() string { return filepath.Join(p.dir, stateFile) }

// Kind is where the servers come from.
func (p *Pair) Kind() Kind { return p.state.Kind }

// Folder holds the data and logs of servers from packages.
func (p *Pair) Folder() string { return p.state.Data }

// Start starts both at once and returns when both are ready.
func (p *Pair) Start(ctx context.Context) error {
	rabbit := make(chan error, 1)
	go func() { rabbit <- p.Rabbit.Start(ctx) }()
	return errors.Join(p.Postgres.Start(ctx), <-rabbit)
}

// Stop stops both at once, gracefully, and returns when both have ended.
func (p *Pair) Stop(ctx context.Context) error {
	rabbit := make(chan error, 1)
	go func() { rabbit <- p.Rabbit.Stop(ctx) }()
	return errors.Join(p.Postgres.Stop(ctx), <-rabbit)
}

// Close stops what runs and gives the folder free; a temporary one is removed,
// and its servers are killed, since nobody will ask for their data.
func (p *Pair) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), engine.StopTimeout+10*time.Second)
	defer cancel()
	if p.Postgres.attached {
		return nil
	}
	if !p.state.Temporary {
		return errors.Join(p.Stop(ctx), p.Postgres.engine.Release(ctx), p.Rabbit.engine.Release(ctx), p.lock.Close())
	}
	err := errors.Join(p.Postgres.Kill(), p.Rabbit.Kill(), p.Postgres.engine.Discard(ctx), p.Rabbit.engine.Discard(ctx))
	if p.state.Data != "" && p.state.Data != p.dir {
		err = errors.Join(err, os.RemoveAll(p.state.Data))
	}
	return errors.Join(err, os.RemoveAll(p.dir), p.lock.Close())
}

// Remove removes a folder with everything that its servers keep, in docker's
// volumes or in another folder, too. Nobody may have it open ([statedir.ErrInUse]).
func Remove(ctx context.Context, dir string) error {
	s, found, err := loadState(dir)
	if err != nil {
		return err
	}
	if !found {
		return os.RemoveAll(dir)
	}
	p, err := Open(ctx, Options{Dir: dir, Kind: s.Kind})
	if err != nil {
		return err
	}
	p.state.Temporary = true
	return p.Close()
}
