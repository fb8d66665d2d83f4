package devservers

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trailpost/trailpost/services/internal/devservers/process"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// rabbitNode is the node's name. It may be the same everywhere: a node is known to
// the epmd that it registers with, and each of ours has its own.
const rabbitNode = "trailpost@localhost"

// rabbitUser is the broker's only user.
const rabbitUser = "trailpost"

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

func writeRabbitFiles(s *state, dir string, acct *process.Account) error {
	for _, sub := range []string{"data", "log", "conf.d"} {
		if err := process.MkdirPrivate(filepath.Join(dir, sub), acct); err != nil {
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
		if err := statedir.WriteFile(name, []byte(content), 0o600); err != nil {
			return err
		}
		if err := acct.Own(name); err != nil {
			return err
		}
	}
	if s.TLS != nil {
		return writeTLS(dir, acct, s.TLS.files())
	}
	return nil
}
