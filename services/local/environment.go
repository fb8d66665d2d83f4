package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// The names that the service which Trailpost replaces had.
const (
	database = "code_reviewer_logs"
	writer   = "logging_service_user"
)

// environment is where the servers and services of a run are, and who may log in. Its logins are
// kept between runs.
type environment struct {
	Owner  devservers.Login `json:"owner"`
	Writer devservers.Login `json:"writer"`
	Reader devservers.Login `json:"reader"`

	producer, consumer string // host:port
	settings           map[string]string
	databaseURL        func(devservers.Login) string
	amqpURL            string
}

// loadOrInit reads or makes the logins, chooses the services' ports, and notes the
// settings that follow from the servers.
func (l *local) loadOrInit(pair *devservers.Pair) (*environment, error) {
	p, err := loadLogins(filepath.Join(l.home, string(pair.Kind()), "logins.json"))
	if err != nil {
		return nil, err
	}
	pg, mq := pair.Postgres, pair.Rabbit
	p.databaseURL = func(login devservers.Login) string { return pg.DSN(database, login) }
	p.amqpURL = mq.URL("/", mq.User)
	p.settings = map[string]string{
		"DATABASE_HOST": pg.Host, "DATABASE_PORT": strconv.Itoa(int(pg.Port)), "DATABASE_NAME": database,
		"DATABASE_USER": p.Writer.Name, "DATABASE_PASSWORD": p.Writer.Password,
		"RABBITMQ_HOST": mq.Host, "RABBITMQ_PORT": strconv.Itoa(mq.Port), "RABBITMQ_VHOST": "/",
		"RABBITMQ_USER": mq.User.Name, "RABBITMQ_PASSWORD": mq.User.Password,
	}
	if p.settings["IDENTITY_KEY_FILE"], err = keepIdentityKey(l.home); err != nil {
		return nil, err
	}
	if p.producer, err = l.address(p, "PRODUCER", 8001); err != nil {
		return nil, err
	}
	p.consumer, err = l.address(p, "CONSUMER", 8002)
	return p, err
}

// address decides where a service listens: as the environment says, else on the
// loopback, at its usual port if that is free.
func (l *local) address(p *environment, service string, port int) (string, error) {
	host, set := lookup(l.environ, service+"_HOST")
	if !set {
		host = "127.0.0.1" // nobody has to prove who they are here
		p.settings[service+"_HOST"] = host
	}
	text, set := lookup(l.environ, service+"_PORT")
	if !set || text == "0" {
		if !devservers.PortFree(port) {
			other, err := devservers.FreePort()
			if err != nil {
				return "", err
			}
			l.say(fmt.Sprintf("port %d is in use: the %s takes %d", port, strings.ToLower(service), other))
			port = other
		}
		text = strconv.Itoa(port)
		p.settings[service+"_PORT"] = text
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() { // that is no address to connect to
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, text), nil
}

// loadLogins reads the logins, or makes and keeps them.
func loadLogins(name string) (*environment, error) {
	p := new(environment)
	b, err := os.ReadFile(name)
	if err == nil {
		if err := json.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return p, nil
	}
	if !os.IsNotExist(err) {
		return nil, err
	}
	p.Owner = devservers.Login{Name: "trailpost_owner", Password: statedir.NewPassword()}
	p.Writer = devservers.Login{Name: writer, Password: statedir.NewPassword()}
	p.Reader = devservers.Login{Name: "trail_reader", Password: statedir.NewPassword()}
	if b, err = json.MarshalIndent(p, "", "  "); err != nil {
		return nil, err
	}
	return p, statedir.WriteFile(name, append(b, '\n'), 0o600)
}

// keepIdentityKey returns the file of the home's identity key, which is made once: the ids in the
// trail are derived under it.
func keepIdentityKey(home string) (string, error) {
	name := filepath.Join(home, "identity-key")
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		return name, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return name, statedir.WriteFile(name, []byte(hex.EncodeToString(key)+"\n"), 0o600)
}

// about are the settings that say where servers are, how to reach them, as whom, and what belongs
// to the data: with or without values of ours, the environment's are not for us.
var about = []string{
	"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD",
	"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_VHOST", "RABBITMQ_USER", "RABBITMQ_PASSWORD",
	"DATABASE_SSLMODE", "DATABASE_SSLROOTCERT", "DATABASE_SSLCERT", "DATABASE_SSLKEY", "DATABASE_PASSWORD_FILE",
	"RABBITMQ_TLS", "RABBITMQ_CACERTFILE", "RABBITMQ_CERTFILE", "RABBITMQ_KEYFILE", "RABBITMQ_SERVER_NAME", "RABBITMQ_PASSWORD_FILE",
	"IDENTITY_KEY", "IDENTITY_KEY_FILE",
}

// environ is the given environment with the settings of this one.
func (p *environment) environ(environ []string) []string {
	var all []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if _, ours := p.settings[name]; !ours && !slices.Contains(about, name) {
			all = append(all, kv)
		}
	}
	for name, value := range p.settings {
		all = append(all, name+"="+value)
	}
	return all
}

// load reads the services' settings in this environment. The home does not hold a .env,
// so none is read.
func (p *environment) load(l *local) (*config.Config, error) {
	return config.Load(config.ForProducer|config.ForConsumer, p.environ(l.environ), l.home)
}

// checkSettings finds what is wrong with the environment's settings before
// anything has been started for them.
func (l *local) checkSettings() error {
	p := &environment{settings: map[string]string{"DATABASE_PASSWORD": "not known yet"}}
	_, err := p.load(l)
	return err
}

// lookup finds a variable; the last one counts, as in a process.
func lookup(environ []string, name string) (value string, found bool) {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value, found = v, true
		}
	}
	return value, found
}
