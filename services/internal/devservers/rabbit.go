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
)

// Rabbit is a private RabbitMQ server, a node alone. Start, Stop and Kill are safe
// for concurrent use.
type Rabbit struct {
	server
	Host string
	Port int
	User Login // may do everything, from the loopback alone
	ctl  string
	st   *state
	put  put
}

// rabbitNode is the node's name. It may be the same everywhere: a node is known to
// the epmd that it registers with, and each of ours has its own.
const rabbitNode = "trailpost@localhost"

// rabbitUser is the broker's only user.
const rabbitUser = "trailpost"

func newRabbit(s *state) *Rabbit {
	r := &Rabbit{Host: "127.0.0.1", Port: s.Rabbit.Port, User: Login{rabbitUser, s.Rabbit.Password}, st: s}
	r.name = "RabbitMQ"
	r.prepare = func(context.Context) error { return nil }
	r.ready = r.login
	return r
}

// rabbitProcess makes a RabbitMQ of the system's packages.
func rabbitProcess(s *state, temporary string, lock *os.File) (*Rabbit, error) {
	// It looks at its disk by a line of shell in which it quotes the path by itself, and stands still in its start (3.10).
	if strings.Contains(s.Data, "'") {
		return nil, fmt.Errorf("RabbitMQ can't start in a folder with an apostrophe in its path (%s): set TRAILPOST_HOME to another (TMPDIR for tests), or use docker", s.Data)
	}
	acct, err := accountOf("rabbitmq")
	if err != nil {
		return nil, err
	}
	bin, err := rabbitBin()
	if err != nil {
		return nil, err
	}
	mapper, err := epmd()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Data, "rabbitmq")
	env := append(cleanEnv(dir), rabbitEnv(s, dir)...)
	proc := &process{
		dir: dir, account: acct, env: env,
		logs:       []string{filepath.Join(dir, "server.log"), filepath.Join(dir, "log", "rabbit.log")},
		argv:       []string{"/bin/sh", "-c", withMapper, "rabbitmq", mapper, filepath.Join(bin, "rabbitmq-server")},
		stopSignal: syscall.SIGTERM, temporary: temporary, lock: lock,
	}
	r := newRabbit(s)
	r.ctl = filepath.Join(bin, "rabbitmqctl")
	r.engine = proc
	r.put = func(_ context.Context, files map[string][]byte) error { return writeTLS(dir, acct, files) }
	r.prepare = func(context.Context) error {
		if err := ownFolder(dir, acct); err != nil {
			return err
		}
		if err := rotate(proc.logs[0]); err != nil {
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

// rabbitEnv names the node, its ports and its files, for the server and for
// rabbitmqctl; root is the folder that holds the files.
func rabbitEnv(s *state, dir string) []string {
	return []string{
		"RABBITMQ_NODENAME=" + rabbitNode,
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(s.Rabbit.DistPort),
		"ERL_EPMD_PORT=" + strconv.Itoa(s.Rabbit.EPMDPort),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES=" + filepath.Join(dir, "conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + filepath.Join(dir, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + filepath.Join(dir, "generated"),
		"RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		erlArgs,
	}
}

// erlArgs binds Erlang's distribution to the loopback and stops its schedulers
// from spinning while they have nothing to do: the cores are shared.
const erlArgs = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"

// rabbitConf is rabbitmq.conf. Quorum queues allocate their write-ahead log in
// advance, 512 MiB by default; the consumer timeout is the six hours that the
// project asks of every broker (the default, 30 minutes, ends a consumer that
// waits for its database). dir is where the files of TLS are.
func rabbitConf(listen, dir string, s *state) string {
	text := `disk_free_limit.absolute = 64MB
raft.wal_max_size_bytes = 67108864
consumer_timeout = 21600000
`
	if s.TLS != nil {
		text += s.TLS.rabbitConf(dir, listen, s.Rabbit.Port)
	} else {
		text += fmt.Sprintf("listeners.tcp.default = %s:%d\n", listen, s.Rabbit.Port)
	}
	if port := s.Rabbit.MetricsPort; port != 0 {
		text += fmt.Sprintf("prometheus.tcp.ip = %s\nprometheus.tcp.port = %d\n", listen, port)
	}
	if port := s.Rabbit.ManagementPort; port != 0 {
		if s.TLS != nil {
			text += s.TLS.managementConf(dir, listen, port)
		} else {
			text += fmt.Sprintf("management.tcp.ip = %s\nmanagement.tcp.port = %d\n", listen, port)
		}
	}
	return text
}

// rabbitLogConf has the log in a file of bounded size.
const rabbitLogConf = `log.console = false
log.file = rabbit.log
log.file.level = info
log.file.rotation.size = 10485760
log.file.rotation.count = 1
`

// rabbitAdvanced is advanced.config, Erlang's own syntax, where a password can be
// spelled out byte by byte: rabbitmq.conf has no quoting that fits every character.
func rabbitAdvanced(password string, loopbackOnly bool) string {
	bytes := make([]string, 0, len(password))
	for _, b := range []byte(password) {
		bytes = append(bytes, strconv.Itoa(int(b)))
	}
	loopback := ""
	if loopbackOnly {
		loopback = "<<\"" + rabbitUser + "\">>"
	}
	return fmt.Sprintf("[{rabbit, [{default_user, <<%q>>}, {default_pass, <<%s>>}, {loopback_users, [%s]}]}].\n",
		rabbitUser, strings.Join(bytes, ","), loopback)
}

// rabbitPlugins is enabled_plugins: none unless they are asked for. Management and
// Prometheus cost a small machine more than they give it, and each would listen on a
// port of its own.
func rabbitPlugins(s rabbitState) string {
	var plugins []string
	if s.MetricsPort != 0 {
		plugins = append(plugins, "rabbitmq_prometheus")
	}
	if s.ManagementPort != 0 {
		plugins = append(plugins, "rabbitmq_management")
	}
	return "[" + strings.Join(plugins, ",") + "].\n"
}

func writeRabbitFiles(s *state, dir string, acct *account) error {
	for _, sub := range []string{"data", "log", "conf.d"} {
		if err := ownFolder(filepath.Join(dir, sub), acct); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"rabbitmq.conf":   rabbitConf("127.0.0.1", dir, s) + rabbitLogConf,
		"advanced.config": rabbitAdvanced(s.Rabbit.Password, true),
		"enabled_plugins": rabbitPlugins(s.Rabbit),
		".erlang.cookie":  s.Rabbit.Cookie,
	} {
		name = filepath.Join(dir, name)
		if err := WriteFile(name, []byte(content), 0o600); err != nil {
			return err
		}
		if err := acct.own(name); err != nil {
			return err
		}
	}
	if s.TLS != nil {
		return writeTLS(dir, acct, s.TLS.files())
	}
	return nil
}

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
	out, err := run(r.engine.command(ctx, append([]string{r.ctl}, args...)...), input)
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
	out, err := run(r.engine.command(ctx, "/bin/sh", "-c", evaluate, "eval", r.ctl, rabbitNode), program)
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
	return r.engine.wrapper(filepath.Join(filepath.Dir(r.ctl), name))
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
