package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// variables are the env file's, in its order. PG* and DATABASE_URL are the
// reader's: a look around can't change anything. The settings are those of our own
// binaries: bin/consumer dead-letters list works.
func (p *environment) variables(pair *devservers.Pair) []string {
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(p.settings)) {
		if slices.Contains(about, name) {
			settings = append(settings, name+"="+p.settings[name])
		}
	}
	return slices.Concat([]string{
		"PRODUCER_URL=http://" + p.producer,
		"CONSUMER_URL=http://" + p.consumer,
		"DATABASE_URL=" + p.databaseURL(p.Reader),
		"WRITER_DATABASE_URL=" + p.databaseURL(p.Writer),
		"OWNER_DATABASE_URL=" + p.databaseURL(p.Owner),
		"AMQP_URL=" + p.amqpURL,
		"PGHOST=" + pair.Postgres.Host,
		"PGPORT=" + strconv.Itoa(int(pair.Postgres.Port)),
		"PGUSER=" + p.Reader.Name,
		"PGPASSWORD=" + p.Reader.Password,
		"PGDATABASE=" + database,
	}, settings, pair.Rabbit.Environment())
}

// envFile is shell that exports the variables and puts our tools first on the path.
func envFile(variables []string, tools string) string {
	var b strings.Builder
	b.WriteString("# Trailpost as it runs now; read it with a dot: . env\n")
	for _, kv := range variables {
		name, value, _ := strings.Cut(kv, "=")
		b.WriteString("export " + name + "=" + shellQuote(value) + "\n")
	}
	b.WriteString("export PATH=" + shellQuote(tools) + "\":$PATH\"\n")
	return b.String()
}

// shellQuote makes one word of shell of any text.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// rabbitTools are the wrappers that the tools folder always has. The system's own
// won't do: Debian's refuse ordinary users, and become the user rabbitmq for root;
// and with docker there may be none.
var rabbitTools = []string{"rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-queues"}

// writeTools writes scripts that run RabbitMQ's tools against our node, and psql
// if the system has none on its path.
func writeTools(dir string, pair *devservers.Pair) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	write := func(name, line string) error {
		return statedir.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexec "+line+"\n"), 0o755)
	}
	for _, name := range rabbitTools {
		if err := write(name, pair.Rabbit.Tool(name)); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath("psql"); err == nil {
		if err := os.Remove(filepath.Join(dir, "psql")); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	return write("psql", pair.Postgres.Tool("psql"))
}
