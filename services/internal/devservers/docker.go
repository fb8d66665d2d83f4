package devservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The images that docker runs.
const (
	PostgresImage = "postgres:18"
	RabbitImage   = "rabbitmq:4.3-management"
)

// label marks everything we leave with docker; its value is the pair's id.
const label = "org.trailpost.servers"

func dockerAnswers(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("docker is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := run(docker(ctx, "version", "--format", "{{.Server.Version}}"), ""); err != nil {
		return fmt.Errorf("docker does not answer: %w", err)
	}
	return nil
}

// prepareDocker pulls the images that are missing. It reports whether the
// containers must use the host's network: when docker has no bridge to publish
// ports from.
func prepareDocker(ctx context.Context, progress func(string)) (hostNet bool, err error) {
	for _, image := range []string{PostgresImage, RabbitImage} {
		if _, err := run(docker(ctx, "image", "inspect", image), ""); err == nil {
			continue
		}
		progress("pulling " + image)
		if _, err := run(docker(ctx, "pull", "--quiet", image), ""); err != nil {
			return false, fmt.Errorf("docker pull: %w", err)
		}
	}
	out, err := run(docker(ctx, "network", "ls", "--quiet", "--filter", "driver=bridge", "--filter", "name=^bridge$"), "")
	if err != nil {
		return false, fmt.Errorf("docker network ls: %w", err)
	}
	return strings.TrimSpace(string(out)) == "", nil
}

// network returns docker create's arguments to have ports on 127.0.0.1 alone, and
// the address that the server must listen on for that. A port is the same inside
// and outside, so that a tool in the container finds the server as one outside does.
// 0 is no port.
func network(s *state, ports ...int) (args []string, listen string) {
	if s.HostNet {
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

func newContainer(s *state, name string, lock *os.File) *container {
	name = "trailpost-" + s.ID + "-" + name
	return &container{
		name: name, volume: name, label: label + "=" + s.ID, temporary: s.Temporary, lock: lock,
	}
}

func postgresContainer(s *state, lock *os.File) *Postgres {
	c := newContainer(s, "postgres", lock)
	net, listen := network(s, s.Postgres.Port)
	c.env = []string{"POSTGRES_PASSWORD=" + s.Postgres.Password}
	c.create = append(append(c.create, net...),
		"--volume", c.volume+":/var/lib/postgresql", // the image's volume since 18
		"--shm-size", "256m",
		"--stop-signal", "SIGINT",
		"--env", "POSTGRES_PASSWORD",
		"--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --no-locale",
		PostgresImage, "postgres")
	c.create = append(c.create, postgresArgs(listen, s.Postgres.Port)...)
	p := newPostgres(s)
	p.engine = c
	if s.TLS != nil {
		c.create = append(c.create, s.TLS.postgresArgs(containerTLS)...)
		c.secrets = inContainer(s.TLS.files())
		c.secrets[filepath.Join(containerTLS, hbaFile)] = string(s.TLS.postgresHBA())
	}
	p.put = c.put
	return p
}

func rabbitContainer(s *state, lock *os.File) *Rabbit {
	const etc = "/etc/rabbitmq"
	c := newContainer(s, "rabbitmq", lock)
	net, listen := network(s, s.Rabbit.Port, s.Rabbit.MetricsPort, s.Rabbit.ManagementPort)
	c.env = []string{"RABBITMQ_ERLANG_COOKIE=" + s.Rabbit.Cookie}
	c.files = map[string]string{
		filepath.Join(etc, "rabbitmq.conf"):   rabbitConf(listen, containerTLS, s),
		filepath.Join(etc, "advanced.config"): rabbitAdvanced(s.Rabbit.Password, s.HostNet),
		filepath.Join(etc, "enabled_plugins"): rabbitPlugins(s.Rabbit),
	}
	c.create = append(append(c.create, net...),
		"--volume", c.volume+":/var/lib/rabbitmq",
		"--env", "RABBITMQ_ERLANG_COOKIE",
		"--env", "RABBITMQ_NODENAME="+rabbitNode,
		"--env", "RABBITMQ_DIST_PORT="+strconv.Itoa(s.Rabbit.DistPort),
		"--env", "ERL_EPMD_PORT="+strconv.Itoa(s.Rabbit.EPMDPort),
		"--env", "ERL_EPMD_ADDRESS=127.0.0.1",
		"--env", erlArgs,
		RabbitImage)
	if s.TLS != nil {
		c.secrets = inContainer(s.TLS.files())
	}
	r := newRabbit(s)
	r.ctl = "rabbitmqctl"
	r.engine = c
	r.put = c.put
	return r
}
