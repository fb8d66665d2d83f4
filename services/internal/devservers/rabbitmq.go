package devservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
	"github.com/trailpost/trailpost/services/internal/devservers/packages"
	"github.com/trailpost/trailpost/services/internal/devservers/process"
)

// Rabbit is a private RabbitMQ server, a node alone. Start, Stop and Kill are safe
// for concurrent use.
type Rabbit struct {
	server
	Host         string
	Port         int
	User         Login // may do everything, from the loopback alone
	ctl          string
	st           *state
	writeSecrets writeSecrets
}

func newRabbit(s *state) *Rabbit {
	r := &Rabbit{Host: "127.0.0.1", Port: s.Rabbit.Port, User: Login{rabbitUser, s.Rabbit.Password}, st: s}
	r.name = "RabbitMQ"
	r.prepare = func(context.Context) error { return nil }
	r.ready = r.login
	return r
}

// rabbitProcess makes a RabbitMQ of the system's packages.
func rabbitProcess(s *state, temporary string, lock *os.File) (*Rabbit, error) {
	// It looks at its disk by a line of shell in which it quotes the path by itself, and stands
	// still in its start (3.10).
	if strings.Contains(s.Data, "'") {
		return nil, fmt.Errorf("RabbitMQ can't start in a folder with an apostrophe in its path (%s): set TRAILPOST_HOME to another (TMPDIR for tests), or use docker", s.Data)
	}
	acct, err := process.LookupAccount("rabbitmq")
	if err != nil {
		return nil, err
	}
	bin, err := packages.RabbitBin()
	if err != nil {
		return nil, err
	}
	mapper, err := packages.EPMD()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Data, "rabbitmq")
	env := append(process.CleanEnv(dir), rabbitEnv(s, dir)...)
	proc := &process.Process{
		Dir: dir, Account: acct, Env: env,
		Logs:       []string{filepath.Join(dir, "server.log"), filepath.Join(dir, "log", "rabbit.log")},
		Argv:       []string{"/bin/sh", "-c", withMapper, "rabbitmq", mapper, filepath.Join(bin, "rabbitmq-server")},
		StopSignal: syscall.SIGTERM, Temporary: temporary, Lock: lock,
	}
	r := newRabbit(s)
	r.ctl = filepath.Join(bin, "rabbitmqctl")
	r.engine = proc
	r.writeSecrets = func(_ context.Context, files map[string][]byte) error { return writeTLS(dir, acct, files) }
	r.prepare = func(context.Context) error {
		if err := process.MkdirPrivate(dir, acct); err != nil {
			return err
		}
		if err := process.RotateLog(proc.Logs[0]); err != nil {
			return err
		}
		return writeRabbitFiles(s, dir, acct)
	}
	return r, nil
}

// withMapper runs the port mapper in the foreground and in the node's process
// group. A node that finds none would start one that outlives it.
// $1 epmd, $2 rabbitmq-server
const withMapper = `"$1" -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
until "$1" -names >/dev/null 2>&1; do kill -0 $! || exit 1; sleep 0.1; done
exec "$2"`

// login opens an AMQP connection and closes it.
func (r *Rabbit) login(ctx context.Context) error {
	config := amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		deadline, ok := ctx.Deadline()
		if !ok {
			deadline = time.Now().Add(10 * time.Second)
		}
		return conn, conn.SetDeadline(deadline)
	}}
	if r.st.TLS != nil {
		var err error
		if config.TLSClientConfig, err = r.st.TLS.ownConfig(); err != nil {
			return err
		}
	}
	conn, err := amqp.DialConfig(r.URL("/", r.User), config)
	if err != nil {
		return err
	}
	return conn.Close()
}

// URL is the AMQP URL of a vhost for a user; any character may be in either.
func (r *Rabbit) URL(vhost string, l Login) string {
	scheme := "amqp"
	if r.st.TLS != nil {
		scheme = "amqps"
	}
	u := url.URL{
		Scheme: scheme, User: url.UserPassword(l.Name, l.Password),
		Host: net.JoinHostPort(r.Host, strconv.Itoa(r.Port)),
		Path: "/" + vhost, RawPath: "/" + url.PathEscape(vhost),
	}
	return pasteable(u)
}

// MetricsURL is where Prometheus finds the broker's own metrics; "" for a pair that
// was opened without [Options.BrokerMetrics].
func (r *Rabbit) MetricsURL() string {
	if r.st.Rabbit.MetricsPort == 0 {
		return ""
	}
	return "http://" + net.JoinHostPort(r.Host, strconv.Itoa(r.st.Rabbit.MetricsPort)) + "/metrics"
}

// ManagementURL is the broker's management API; "" for a pair that was opened without
// [Options.BrokerManagement].
func (r *Rabbit) ManagementURL() string {
	if r.st.Rabbit.ManagementPort == 0 {
		return ""
	}
	scheme := "http://"
	if r.st.TLS != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(r.Host, strconv.Itoa(r.st.Rabbit.ManagementPort))
}

// Ctl runs rabbitmqctl against the node and returns what it printed to its
// standard output; an error holds the rest.
func (r *Rabbit) Ctl(ctx context.Context, args ...string) ([]byte, error) {
	return r.CtlInput(ctx, "", args...)
}

// CtlInput is Ctl with a standard input: a password, definitions.
func (r *Rabbit) CtlInput(ctx context.Context, input string, args ...string) ([]byte, error) {
	out, err := engine.Run(r.engine.Command(ctx, append([]string{r.ctl}, args...)...), input)
	if err != nil {
		return out, fmt.Errorf("rabbitmqctl %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// evaluate is sh's: $1 rabbitmqctl, $2 the node. erl_call is in Erlang's own folder, and
// not always on the PATH; rabbitmqctl does the same for a second of a core. Calls at the
// same time need names of their own.
const evaluate = `call=$(command -v erl_call) || call=$(dirname "$(readlink -f "$(command -v erl)")")/erl_call
if [ -x "$call" ]; then exec "$call" -h "call$$" -sname "$2" -e; fi
exec "$1" eval "$(cat)"`

// Eval evaluates Erlang expressions on the node, separated by commas and without a
// period at the end. They return ok, or fail.
func (r *Rabbit) Eval(ctx context.Context, expressions string) error {
	const done = "evaluated_well"
	// erl_call prints an error and exits with 0
	program := "ok = begin " + expressions + " end, " + done + ".\n"
	out, err := engine.Run(r.engine.Command(ctx, "/bin/sh", "-c", evaluate, "eval", r.ctl, rabbitNode), program)
	if err == nil && !strings.Contains(string(out), done) {
		err = errors.New(strings.TrimSpace(string(out)))
	}
	if err != nil {
		return fmt.Errorf("evaluate %s: %w", expressions, err)
	}
	return nil
}

// Tool is a line of shell that runs one of RabbitMQ's own tools (rabbitmqctl,
// rabbitmq-diagnostics, rabbitmq-queues) against the node with the arguments "$@".
func (r *Rabbit) Tool(name string) string {
	return r.engine.ShellLine(filepath.Join(filepath.Dir(r.ctl), name))
}

// Environment is what RabbitMQ's own tools need to find the node, as NAME=value,
// but for the cookie: [Rabbit.Tool] has that, from its file. Tools complain about
// one in a variable.
func (r *Rabbit) Environment() []string {
	return []string{
		"RABBITMQ_NODENAME=" + rabbitNode,
		"ERL_EPMD_PORT=" + strconv.Itoa(r.st.Rabbit.EPMDPort),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
	}
}
