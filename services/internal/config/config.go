package config

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

// Config is the whole configuration, with one section for each part of the system.
//
// Load and Usage read the tags by reflection, in this order: env (the variable), envDefault, for
// (binaries that use it; the tag of a field goes before that of its section), required (binaries
// that can't do without), min and max, oneof, file ("readable": names a file that must exist),
// help.
type Config struct {
	Service  Service  `for:"producer,consumer,migrate,roles,letters,months"`
	Database Database `for:"consumer,migrate,roles,months"`
	RabbitMQ RabbitMQ `for:"producer,consumer,letters"`
	Producer Producer `for:"producer"`
	Consumer Consumer `for:"consumer"`
	Tracing  Tracing  `for:"producer,consumer"`
	Migrate  Migrate  `for:"migrate,roles,months"`

	warnings []Fault
}

// Warnings are faults that keep nobody from starting. One is a name such as PRODUCER_API_KEY_FILE,
// which begins as a setting does or differs little from one, and is not a setting; names that
// Kubernetes sets for its Services and those of RabbitMQ itself are left out. Another is a value
// for OpenTelemetry that other programs may know.
func (c *Config) Warnings() []Fault { return c.warnings }

// LogWarnings writes them to the log.
func (c *Config) LogWarnings(log *slog.Logger) {
	for _, w := range c.warnings {
		log.Warn(w.String(), "setting", w.Name)
	}
}

// Service is what every binary has.
type Service struct {
	LogLevel     values.LogLevel `env:"LOG_LEVEL" envDefault:"INFO" help:"Least severe level that is logged."`
	Environment  string          `env:"ENVIRONMENT" envDefault:"development" help:"Name of the environment; production makes the logs JSON."`
	IdentityKey  values.Secret   `env:"IDENTITY_KEY" for:"producer,consumer,letters" help:"Key under which event ids are derived where nobody gave one: at least 64 hex digits, one key for producers, consumers and dead-letters (openssl rand -hex 32); keep it through upgrades and reinstalls. The producer, whose own ids are random, checks it today and derives by it in later releases. Without a key, derived ids are plain SHA-256: whoever sees one can check a guess of the event's content, even after that is erased."`
	ProfilesAddr string          `env:"PROFILES_ADDRESS" for:"producer,consumer" help:"Address and port, such as localhost:6060, that serve Go's profiles below /debug/pprof/; off by default. They tell what is in memory: keep them off the network."`
}

// Database is PostgreSQL. The TLS settings are libpq's.
type Database struct {
	Host           string        `env:"DATABASE_HOST" envDefault:"localhost" help:"PostgreSQL host, or the directory of its socket; or several with commas between, of which the first is used that takes writes."`
	Port           values.Ports  `env:"DATABASE_PORT" envDefault:"5432" help:"PostgreSQL port; or one for each of several hosts, with commas between."`
	Name           string        `env:"DATABASE_NAME" envDefault:"code_reviewer_logs" help:"Database name."`
	User           string        `env:"DATABASE_USER" envDefault:"logging_service_user" for:"consumer,roles" help:"The consumer's role: it inserts and selects, and can't change the trail."`
	Password       values.Secret `env:"DATABASE_PASSWORD" for:"consumer,roles" required:"consumer,roles" help:"Password of DATABASE_USER."`
	SSLMode        string        `env:"DATABASE_SSLMODE" envDefault:"prefer" oneof:"disable,allow,prefer,require,verify-ca,verify-full" help:"libpq's sslmode."`
	SSLRootCert    string        `env:"DATABASE_SSLROOTCERT" file:"readable" help:"File of the certificate authorities that may sign the server's certificate."`
	SSLCert        string        `env:"DATABASE_SSLCERT" file:"readable" help:"File of the client certificate."`
	SSLKey         string        `env:"DATABASE_SSLKEY" file:"readable" help:"File of the client certificate's key."`
	ConnectTimeout time.Duration `env:"DATABASE_CONNECT_TIMEOUT" envDefault:"10s" min:"100ms" max:"5m" help:"Longest time to wait for a connection to one host."`
}

// RabbitMQ is the broker and the queue. The TLS settings are named as RabbitMQ's own.
type RabbitMQ struct {
	Host             string        `env:"RABBITMQ_HOST" envDefault:"localhost" help:"RabbitMQ host."`
	Port             uint16        `env:"RABBITMQ_PORT" envDefault:"5672" min:"1" max:"65535" help:"RabbitMQ port; with RABBITMQ_TLS the default is 5671."`
	User             string        `env:"RABBITMQ_USER" envDefault:"guest" help:"RabbitMQ user name."`
	Password         values.Secret `env:"RABBITMQ_PASSWORD" envDefault:"guest" help:"RabbitMQ password."`
	VHost            string        `env:"RABBITMQ_VHOST" envDefault:"/" help:"RabbitMQ virtual host."`
	QueueName        string        `env:"RABBITMQ_QUEUE_NAME" envDefault:"log_queue" help:"Queue of the events; dead letters are in this name with .dead appended."`
	QueueType        string        `env:"RABBITMQ_QUEUE_TYPE" envDefault:"quorum" oneof:"quorum,classic,existing" help:"What is declared. classic: what the Python service declares, to share a queue with it. existing: nothing; both queues must be there, durable, and no streams."`
	EventsPerMessage int           `env:"RABBITMQ_EVENTS_PER_MESSAGE" envDefault:"64" min:"1" max:"1000" help:"Most events in one message; with RABBITMQ_QUEUE_TYPE=classic it is 1, which the Python service can read."`
	TLS              bool          `env:"RABBITMQ_TLS" envDefault:"false" help:"Whether to connect with TLS."`
	CACertFile       string        `env:"RABBITMQ_CACERTFILE" file:"readable" help:"File of the certificate authorities that may sign the broker's certificate; without it, the system's."`
	CertFile         string        `env:"RABBITMQ_CERTFILE" file:"readable" help:"File of the client certificate."`
	KeyFile          string        `env:"RABBITMQ_KEYFILE" file:"readable" help:"File of the client certificate's key."`
	ServerName       string        `env:"RABBITMQ_SERVER_NAME" help:"Name that the broker's certificate must bear, where it differs from RABBITMQ_HOST."`
	ConfirmTimeout   time.Duration `env:"RABBITMQ_CONFIRM_TIMEOUT" envDefault:"10s" min:"100ms" max:"5m" help:"Longest time to wait for the broker's confirm of a message."`
	ManagementURL    string        `env:"RABBITMQ_MANAGEMENT_URL" help:"URL of the broker's management API, such as http://rabbitmq:15672, which tells the policies of both queues; RABBITMQ_USER must have the tag management. Without it policies that drop events go unnoticed. https uses the files of RABBITMQ_CACERTFILE, RABBITMQ_CERTFILE and RABBITMQ_KEYFILE."`
	AllowLossy       bool          `env:"RABBITMQ_ALLOW_LOSSY_POLICIES" envDefault:"false" help:"Whether events are taken, and dead letters made, although a policy of the broker may drop them; the warning and the metric stay."`
}

// Addr is the broker's host:port.
func (r RabbitMQ) Addr() string { return addr(r.Host, r.Port) }

// Producer is the HTTP side.
type Producer struct {
	Host            string          `env:"PRODUCER_HOST" envDefault:"0.0.0.0" help:"Address to listen on."`
	Port            uint16          `env:"PRODUCER_PORT" envDefault:"8001" min:"0" max:"65535" help:"Port to listen on; 0 takes a free one."`
	TLSCertFile     string          `env:"PRODUCER_TLS_CERT_FILE" file:"readable" help:"File of the server's certificate chain; with it, the producer speaks HTTPS."`
	TLSKeyFile      string          `env:"PRODUCER_TLS_KEY_FILE" file:"readable" help:"File of the server certificate's key."`
	MetricsPort     uint16          `env:"PRODUCER_METRICS_PORT" min:"0" max:"65535" help:"Port of their own for metrics and probes, without TLS and keys; without it, or with 0, they are on PRODUCER_PORT. /livez and /readyz stay there, too."`
	APIKeysFile     string          `env:"PRODUCER_API_KEYS_FILE" file:"readable" help:"File of the names and hashes of API keys, which clients must then show; it is read again when it changes. producer keys new makes a key and its line."`
	RateLimit       int             `env:"PRODUCER_RATE_LIMIT" envDefault:"0" min:"0" max:"1000000" help:"Most events a second that a key, or without keys an address, may send on average; beyond it requests are answered 429. 0: no limit."`
	RateBurst       int             `env:"PRODUCER_RATE_BURST" envDefault:"1000" min:"1" max:"1000000" help:"Most events that it may send at once, after a pause; a batch may have more, and is then paid off."`
	TrustedProxies  values.Networks `env:"PRODUCER_TRUSTED_PROXIES" help:"Addresses or networks of proxies before the producer, with commas between: of them alone X-Forwarded-For is believed. Without any, a client's address is the connection's."`
	CORSOrigins     values.Origins  `env:"PRODUCER_CORS_ORIGINS" help:"Origins, such as https://app.example.org, with commas between, whose scripts browsers let send events; * is any. Without any, browsers let none but the producer's own pages."`
	IdleTimeout     time.Duration   `env:"PRODUCER_IDLE_TIMEOUT" envDefault:"650s" min:"1s" max:"1h" help:"Longest time that a connection is kept between two requests; longer than the load balancer before the producer keeps it, or requests are lost now and then (502)."`
	MemoryBudget    values.ByteSize `env:"PRODUCER_MEMORY_BUDGET" envDefault:"64MiB" min:"32MiB" max:"64GiB" help:"Most bytes of request bodies in memory at once; beyond it requests are answered 503."`
	RequestTimeout  time.Duration   `env:"PRODUCER_REQUEST_TIMEOUT" envDefault:"15s" min:"100ms" max:"10m" help:"Longest time from a request's last byte to its answer; sensibly above RABBITMQ_CONFIRM_TIMEOUT."`
	ShutdownTimeout time.Duration   `env:"PRODUCER_SHUTDOWN_TIMEOUT" envDefault:"8s" min:"0s" max:"1h" help:"Longest time that requests in flight are given to finish after SIGTERM."`
	EventIDMaxAge   time.Duration   `env:"EVENT_ID_MAX_AGE" envDefault:"720h" min:"1m" max:"3650d" for:"producer,months" help:"Greatest age of an event_id that a client sends; never longer than events are kept."`
}

// Addr is the host:port to listen on.
func (p Producer) Addr() string { return addr(p.Host, p.Port) }

// MetricsAddr is the host:port of metrics and probes, if they have one of their own.
func (p Producer) MetricsAddr() string { return addr(p.Host, p.MetricsPort) }

// Consumer is the side that stores.
type Consumer struct {
	RetryAttempts   int           `env:"CONSUMER_RETRY_ATTEMPTS" envDefault:"3" min:"0" max:"1000" help:"Attempts to store before trouble is an ERROR and readiness goes off; retrying itself never ends."`
	RetryDelay      time.Duration `env:"CONSUMER_RETRY_DELAY" envDefault:"5" min:"0s" max:"1h" help:"Delay between those attempts, in seconds."`
	Workers         int           `env:"CONSUMER_WORKERS" envDefault:"2" min:"1" max:"64" help:"Batches that are stored at the same time, each on its own connections."`
	BatchSize       int           `env:"CONSUMER_BATCH_SIZE" envDefault:"1000" min:"1" max:"10000" help:"Most events in one transaction."`
	Linger          time.Duration `env:"CONSUMER_LINGER" envDefault:"2ms" min:"0s" max:"1s" help:"Longest time that a batch waits for more events when none is being stored; ten times as long once they are a second late."`
	Host            string        `env:"CONSUMER_HOST" envDefault:"0.0.0.0" help:"Address that probes and metrics listen on."`
	Port            uint16        `env:"CONSUMER_PORT" envDefault:"8002" min:"0" max:"65535" help:"Port that probes and metrics listen on; 0 takes a free one."`
	ShutdownTimeout time.Duration `env:"CONSUMER_SHUTDOWN_TIMEOUT" envDefault:"8s" min:"0s" max:"1h" help:"Longest time that the batch in flight is given to finish after SIGTERM."`
	AllowOwnerRole  bool          `env:"ALLOW_OWNER_ROLE" envDefault:"false" help:"Whether the consumer may run as a role that can change the trail."`
}

// Addr is the host:port that probes and metrics listen on.
func (c Consumer) Addr() string { return addr(c.Host, c.Port) }

// Migrate is the schema's owner, and for "migrate roles" the roles to make.
type Migrate struct {
	User           string        `env:"MIGRATE_DATABASE_USER" envDefault:"trailpost_owner" help:"The role that owns the schema and migrates it."`
	Password       values.Secret `env:"MIGRATE_DATABASE_PASSWORD" required:"migrate,roles,months" help:"Password of MIGRATE_DATABASE_USER."`
	ReaderUser     string        `env:"READER_DATABASE_USER" envDefault:"trail_reader" for:"roles" help:"The role that reads the trail."`
	ReaderPassword values.Secret `env:"READER_DATABASE_PASSWORD" for:"roles" required:"roles" help:"Password of READER_DATABASE_USER."`
	AdminUser      string        `env:"ADMIN_DATABASE_USER" envDefault:"postgres" for:"roles" help:"The role that makes roles and the database."`
	AdminPassword  values.Secret `env:"ADMIN_DATABASE_PASSWORD" for:"roles" help:"Password of ADMIN_DATABASE_USER, where the server asks for one."`
	AdminName      string        `env:"ADMIN_DATABASE_NAME" envDefault:"postgres" for:"roles" help:"The database that ADMIN_DATABASE_USER connects to."`
}

func addr(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
