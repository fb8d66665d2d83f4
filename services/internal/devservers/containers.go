package devservers

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/trailpost/trailpost/services/internal/devservers/docker"
)

func newContainer(s *state, name string, lock *os.File) *docker.Container {
	return &docker.Container{Name: "trailpost-" + s.ID + "-" + name, PairID: s.ID, Temporary: s.Temporary, Lock: lock}
}

func postgresContainer(s *state, lock *os.File) *Postgres {
	c := newContainer(s, "postgres", lock)
	net, listen := docker.Network(s.HostNet, s.Postgres.Port)
	c.Env = []string{"POSTGRES_PASSWORD=" + s.Postgres.Password}
	c.Args = append(append(c.Args, net...),
		"--volume", c.Name+":/var/lib/postgresql", // the image's volume since 18
		"--shm-size", "256m",
		"--stop-signal", "SIGINT",
		"--env", "POSTGRES_PASSWORD",
		"--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --no-locale",
		docker.PostgresImage, "postgres")
	c.Args = append(c.Args, postgresArgs(listen, s.Postgres.Port)...)
	p := newPostgres(s)
	p.engine = c
	if s.TLS != nil {
		c.Args = append(c.Args, s.TLS.postgresArgs(containerTLS)...)
		c.Secrets = inContainer(s.TLS.files())
		c.Secrets[filepath.Join(containerTLS, hbaFile)] = string(s.TLS.postgresHBA())
	}
	p.writeSecrets = intoContainer(c)
	return p
}

func rabbitContainer(s *state, lock *os.File) *Rabbit {
	const etc = "/etc/rabbitmq"
	c := newContainer(s, "rabbitmq", lock)
	net, listen := docker.Network(s.HostNet, s.Rabbit.Port, s.Rabbit.MetricsPort, s.Rabbit.ManagementPort)
	c.Env = []string{"RABBITMQ_ERLANG_COOKIE=" + s.Rabbit.Cookie}
	c.Files = map[string]string{
		filepath.Join(etc, "rabbitmq.conf"):   rabbitConf(listen, containerTLS, s),
		filepath.Join(etc, "advanced.config"): rabbitAdvanced(s.Rabbit.Password, s.HostNet),
		filepath.Join(etc, "enabled_plugins"): rabbitPlugins(s.Rabbit),
	}
	c.Args = append(append(c.Args, net...),
		"--volume", c.Name+":/var/lib/rabbitmq",
		"--env", "RABBITMQ_ERLANG_COOKIE",
		"--env", "RABBITMQ_NODENAME="+rabbitNode,
		"--env", "RABBITMQ_DIST_PORT="+strconv.Itoa(s.Rabbit.DistPort),
		"--env", "ERL_EPMD_PORT="+strconv.Itoa(s.Rabbit.EPMDPort),
		"--env", "ERL_EPMD_ADDRESS=127.0.0.1",
		"--env", erlArgs,
		docker.RabbitImage)
	if s.TLS != nil {
		c.Secrets = inContainer(s.TLS.files())
	}
	r := newRabbit(s)
	r.ctl = "rabbitmqctl"
	r.engine = c
	r.writeSecrets = intoContainer(c)
	return r
}

// intoContainer writes the secrets of a server in a container.
func intoContainer(c *docker.Container) writeSecrets {
	return func(ctx context.Context, files map[string][]byte) error {
		return c.CopySecrets(ctx, inContainer(files))
	}
}
