package devservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Options say what [Open] makes.
type Options struct {
	// Dir keeps everything that outlives the process: state, data, logs. "" makes a
	// temporary folder, which [Pair.Close] removes, or a watcher if we are killed.
	Dir string
	// Kind is where the servers come from; a folder stays with the kind it was made
	// for, so Auto means that one where there is one.
	Kind Kind
	// BrokerMetrics has RabbitMQ answer Prometheus, at [Rabbit.MetricsURL].
	BrokerMetrics bool
	// BrokerManagement has RabbitMQ answer its management API, at [Rabbit.ManagementURL].
	BrokerManagement bool
	// TLS, if not nil, has both servers speak TLS alone, with [Pair.Recertify] to change the certificate.
	TLS *TLS
	// Progress, if set, is told in a sentence what takes its time.
	Progress func(string)
}

// Pair is a private PostgreSQL and a private RabbitMQ.
type Pair struct {
	Postgres *Postgres
	Rabbit   *Rabbit

	dir   string
	state state
	lock  *os.File // held by us and by the watchers of our servers
}

// Open prepares a pair and starts nothing. One process at a time can have a folder
// open: others get [ErrInUse].
func Open(ctx context.Context, o Options) (p *Pair, err error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	p = &Pair{dir: o.Dir}
	if o.Dir == "" {
		if p.dir, err = os.MkdirTemp("", "trailpost-servers-"); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				_ = os.RemoveAll(p.dir) // the first error says more
			}
		}()
	}
	if p.dir, err = filepath.Abs(p.dir); err != nil {
		return nil, err
	}
	if err := openFolder(p.dir); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if p.lock, err = Lock(waiting, filepath.Join(p.dir, "lock")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.lock.Close()
		}
	}()
	if err := p.settle(ctx, o); err != nil {
		return nil, err
	}
	if err := p.state.save(p.dir); err != nil {
		return nil, err
	}
	if err := p.build(); err != nil {
		return nil, err
	}
	return p, nil
}

// settle completes the folder's state: kind, place, ports and passwords.
func (p *Pair) settle(ctx context.Context, o Options) error {
	s, found, err := loadState(p.dir)
	if err != nil {
		return err
	}
	kind := o.Kind
	if kind == "" || kind == Auto {
		if found {
			kind = s.Kind
		} else {
			kind = Auto
		}
	}
	if kind, err = Choose(ctx, kind); err != nil {
		return err
	}
	if found && kind != s.Kind {
		return fmt.Errorf("%s was made for %s, not %s", p.dir, s.Kind, kind)
	}
	if !found {
		s = state{
			Kind: kind, ID: randomHex(4), Temporary: o.Dir == "",
			Postgres: postgresState{Password: NewPassword()},
			Rabbit:   rabbitState{Password: NewPassword(), Cookie: randomHex(16)},
		}
	}
	switch kind {
	case Docker:
		if s.HostNet, err = prepareDocker(ctx, o.Progress); err != nil {
			return err
		}
	default:
		if s.Data, err = p.place(o.Progress); err != nil {
			return err
		}
	}
	p.state = s
	p.state.TLS = o.TLS
	for port, wanted := range map[*int]bool{
		&p.state.Rabbit.MetricsPort:    o.BrokerMetrics,
		&p.state.Rabbit.ManagementPort: o.BrokerManagement,
	} {
		if !wanted {
			*port = 0
		} else if err := keepPort(port); err != nil {
			return err
		}
	}
	return errors.Join(
		keepPort(&p.state.Postgres.Port), keepPort(&p.state.Rabbit.Port),
		keepPort(&p.state.Rabbit.DistPort), keepPort(&p.state.Rabbit.EPMDPort),
	)
}

// place chooses the folder for the servers' data.
func (p *Pair) place(progress func(string)) (string, error) {
	postgres, err := accountOf("postgres")
	if err != nil {
		return "", err
	}
	rabbit, err := accountOf("rabbitmq")
	if err != nil {
		return "", err
	}
	data, err := shelter(p.dir, postgres, rabbit)
	if err == nil && data != p.dir {
		progress(fmt.Sprintf("the servers can't work in %s: their data are in %s", p.dir, data))
	}
	return data, err
}

// build makes the servers from the state.
func (p *Pair) build() (err error) {
	if p.state.Kind == Docker {
		p.Postgres = postgresContainer(&p.state, p.lock)
		p.Rabbit = rabbitContainer(&p.state, p.lock)
		return nil
	}
	temporary := ""
	if p.state.Temporary {
		temporary = p.dir
	}
	if p.Postgres, err = postgresProcess(&p.state, temporary, p.lock); err != nil {
		return err
	}
	p.Rabbit, err = rabbitProcess(&p.state, temporary, p.lock)
	return err
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
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout+10*time.Second)
	defer cancel()
	if p.Postgres.attached {
		return nil
	}
	if !p.state.Temporary {
		return errors.Join(p.Stop(ctx), p.Postgres.engine.release(ctx), p.Rabbit.engine.release(ctx), p.lock.Close())
	}
	err := errors.Join(p.Postgres.Kill(), p.Rabbit.Kill(), p.Postgres.engine.discard(ctx), p.Rabbit.engine.discard(ctx))
	if p.state.Data != "" && p.state.Data != p.dir {
		err = errors.Join(err, os.RemoveAll(p.state.Data))
	}
	return errors.Join(err, os.RemoveAll(p.dir), p.lock.Close())
}

// Remove removes a folder with everything that its servers keep, in docker's
// volumes or in another folder, too. Nobody may have it open ([ErrInUse]).
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
