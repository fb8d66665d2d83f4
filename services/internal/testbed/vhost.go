package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Vhost is a virtual host of one test.
type Vhost struct {
	Host     string
	Port     int
	User     string
	Password string
	Name     string

	server *RabbitServer
}

// URL is the vhost's AMQP URL.
func (v Vhost) URL() string { return v.server.URL(v.Name, Login{Name: v.User, Password: v.Password}) }

// Ctl runs rabbitmqctl for the vhost (-p), and returns what it printed. It takes
// half a second of a core.
func (v Vhost) Ctl(ctx context.Context, command string, args ...string) ([]byte, error) {
	return v.server.Ctl(ctx, append([]string{"--quiet", command, "-p", v.Name}, args...)...)
}

// Rabbit makes a vhost on the shared broker, where the user may do everything. It
// is deleted, with its queues and connections, some time after the test.
func Rabbit(t testing.TB) Vhost {
	t.Helper()
	s := sharedServers(t)
	start(t, s.Rabbit)
	showLog(t, "RabbitMQ", s.Rabbit)
	return s.Vhost(t)
}

// Vhost makes a vhost on these servers; see [Rabbit].
func (s *Servers) Vhost(t testing.TB) Vhost {
	t.Helper()
	name, err := s.vhosts.take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := s.Rabbit
	v := Vhost{Host: r.Host, Port: r.Port, User: r.User.Name, Password: r.User.Password, Name: name, server: r}
	if s.private {
		return v
	}
	t.Cleanup(func() {
		if keep(t) {
			t.Logf("kept the test's vhost: %s", v.URL())
			return
		}
		s.vhosts.give(name)
	})
	return v
}

// vhosts makes and deletes vhosts by the handful, past rabbitmqctl: each call of that
// starts an Erlang machine, and the cores are few.
type vhosts struct {
	server *RabbitServer

	mu     sync.Mutex
	size   int      // of the next handful
	ready  []string // made and not taken
	used   []string // to be deleted
	sweeps sync.WaitGroup
	busy   bool // a sweep runs
	err    error
}

func newVhosts(r *RabbitServer) *vhosts { return &vhosts{server: r, size: 2} }

// handful is the most vhosts that are made at once, and how many must be used before
// they are deleted.
const handful = 8

func (v *vhosts) take(ctx context.Context) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.ready) == 0 {
		names := make([]string, v.size)
		for i := range names {
			names[i] = uniqueName()
		}
		if err := v.create(ctx, names); err != nil {
			return "", err
		}
		v.ready, v.size = names, min(2*v.size, handful)
	}
	name := v.ready[0]
	v.ready = v.ready[1:]
	return name, nil
}

func (v *vhosts) create(ctx context.Context, names []string) error {
	return v.forEach(ctx, names, fmt.Sprintf(`ok = rabbit_vhost:add(V, <<"testbed">>), `+
		`ok = rabbit_auth_backend_internal:set_permissions(<<%q>>, V, <<".*">>, <<".*">>, <<".*">>, <<"testbed">>)`, v.server.User.Name))
}

// forEach evaluates Erlang expressions for each vhost, V, at once. The names are our
// own and need no quoting.
func (v *vhosts) forEach(ctx context.Context, names []string, expressions string) error {
	list := `<<"` + strings.Join(names, `">>, <<"`) + `">>`
	return v.server.Eval(ctx, "lists:foreach(fun(V) -> "+expressions+" end, ["+list+"])")
}

// give has a vhost deleted in the background, once a handful is used.
func (v *vhosts) give(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.used = append(v.used, name)
	if v.busy || len(v.used) < handful {
		return
	}
	v.busy = true
	v.sweeps.Go(v.sweep)
}

// sweep deletes what was given until there is no handful left to delete.
func (v *vhosts) sweep() {
	for {
		v.mu.Lock()
		names := v.used
		if len(names) < handful {
			v.busy = false
			v.mu.Unlock()
			return
		}
		v.used = nil
		v.mu.Unlock()
		v.delete(names)
	}
}

// delete deletes vhosts, and notes if it can't.
func (v *vhosts) delete(names []string) {
	if err := v.remove(names); err != nil && v.server.Running() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.err = errors.Join(v.err, fmt.Errorf("deleting vhosts: %w", err))
	}
}

func (v *vhosts) remove(names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return v.forEach(ctx, names, `rabbit_vhost:delete(V, <<"testbed">>)`) // what delete_vhost calls
}

// close deletes what tests have used and what none has.
func (v *vhosts) close() error {
	v.sweeps.Wait()
	v.mu.Lock()
	left := slices.Concat(v.ready, v.used)
	v.ready, v.used = nil, nil
	v.mu.Unlock()
	if len(left) > 0 {
		v.delete(left)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}
