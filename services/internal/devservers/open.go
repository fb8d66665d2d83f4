package devservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trailpost/trailpost/services/internal/devservers/docker"
	"github.com/trailpost/trailpost/services/internal/devservers/engine"
	"github.com/trailpost/trailpost/services/internal/devservers/process"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
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
	// TLS, if not nil, has both servers speak TLS alone, with [Pair.Recertify] to change the
	// certificate.
	TLS *TLS
	// Progress, if set, is told in a sentence what takes its time.
	Progress func(string)
}

// Open prepares a pair and starts nothing. One process at a time can have a folder
// open: others get [statedir.ErrInUse].
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
	if err := process.MkdirTraversable(p.dir); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, engine.StopTimeout)
	defer cancel()
	if p.lock, err = statedir.Lock(waiting, filepath.Join(p.dir, "lock")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.lock.Close()
		}
	}()
	if err := p.assign(ctx, o); err != nil {
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

// assign completes the state of the folder: kind, data folder, ports and passwords.
func (p *Pair) assign(ctx context.Context, o Options) error {
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
			Kind: kind, ID: statedir.RandomHex(4), Temporary: o.Dir == "",
			Postgres: postgresState{Password: statedir.NewPassword()},
			Rabbit:   rabbitState{Password: statedir.NewPassword(), Cookie: statedir.RandomHex(16)},
		}
	}
	switch kind {
	case Docker:
		if s.HostNet, err = docker.Prepare(ctx, o.Progress); err != nil {
			return err
		}
	default:
		if s.Data, err = p.dataDir(o.Progress); err != nil {
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

// dataDir chooses the folder for the servers' data.
func (p *Pair) dataDir(progress func(string)) (string, error) {
	postgres, err := process.LookupAccount("postgres")
	if err != nil {
		return "", err
	}
	rabbit, err := process.LookupAccount("rabbitmq")
	if err != nil {
		return "", err
	}
	data, err := process.ReachableDir(p.dir, postgres, rabbit)
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
