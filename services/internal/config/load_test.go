package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/config/values"
	"github.com/trailpost/trailpost/test/golden"
)

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, binary Binary, environ ...string) *Config {
	t.Helper()
	cfg, err := Load(binary, environ, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func faults(t *testing.T, binary Binary, dir string, environ ...string) string {
	t.Helper()
	cfg, err := Load(binary, environ, dir)
	var bad *Error
	if cfg != nil || !errors.As(err, &bad) {
		t.Fatalf("got %+v and %v, want an *Error", cfg, err)
	}
	if got := ExitCode(err); got != 2 {
		t.Errorf("exit code %d, want 2", got)
	}
	return err.Error() + "\n"
}

// The 17 variables of the service that Trailpost replaces, with its defaults.
func TestOriginalDefaults(t *testing.T) {
	cfg := load(t, ForConsumer, "DATABASE_PASSWORD=x")
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"DATABASE_HOST", cfg.Database.Host, "localhost"},
		{"DATABASE_PORT", cfg.Database.Port, values.Ports("5432")},
		{"DATABASE_NAME", cfg.Database.Name, "code_reviewer_logs"},
		{"DATABASE_USER", cfg.Database.User, "logging_service_user"},
		{"DATABASE_PASSWORD", cfg.Database.Password.Reveal(), "x"},
		{"RABBITMQ_HOST", cfg.RabbitMQ.Host, "localhost"},
		{"RABBITMQ_PORT", cfg.RabbitMQ.Port, uint16(5672)},
		{"RABBITMQ_USER", cfg.RabbitMQ.User, "guest"},
		{"RABBITMQ_PASSWORD", cfg.RabbitMQ.Password.Reveal(), "guest"},
		{"RABBITMQ_VHOST", cfg.RabbitMQ.VHost, "/"},
		{"RABBITMQ_QUEUE_NAME", cfg.RabbitMQ.QueueName, "log_queue"},
		{"LOG_LEVEL", cfg.Service.LogLevel.Level(), slog.LevelInfo},
		{"ENVIRONMENT", cfg.Service.Environment, "development"},
		{"PRODUCER_HOST", cfg.Producer.Host, "0.0.0.0"},
		{"PRODUCER_PORT", cfg.Producer.Port, uint16(8001)},
		{"CONSUMER_RETRY_ATTEMPTS", cfg.Consumer.RetryAttempts, 3},
		{"CONSUMER_RETRY_DELAY", cfg.Consumer.RetryDelay, 5 * time.Second},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
}

// Every default must itself be a valid value.
func TestDefaultsLoad(t *testing.T) {
	cfg := load(t, ForProducer)
	want := Producer{
		Host: "0.0.0.0", Port: 8001, RateBurst: 1000, MemoryBudget: 64 << 20, RequestTimeout: 15 * time.Second,
		ShutdownTimeout: 8 * time.Second, IdleTimeout: 650 * time.Second, EventIDMaxAge: 30 * 24 * time.Hour,
	}
	if cfg.Producer != want {
		t.Errorf("got %+v, want %+v", cfg.Producer, want)
	}
	if got := cfg.Consumer.Addr(); got != "0.0.0.0:8002" {
		t.Errorf("consumer listens on %s", got)
	}
}

func TestTenFaultsTenLines(t *testing.T) {
	got := faults(t, ForConsumer, t.TempDir(),
		"LOG_LEVEL=LOUD",
		"DATABASE_PORT=70000",
		"DATABASE_SSLMODE=on",
		"DATABASE_PASSWORD=hunter2", "DATABASE_PASSWORD_FILE=/run/secrets/db",
		"RABBITMQ_PORT=tcp://10.0.0.1:5672",
		"RABBITMQ_QUEUE_NAME=amq.log",
		"PRODUCER_MEMORY_BUDGET=lots",
		"CONSUMER_RETRY_DELAY=soon",
		"CONSUMER_WORKERS=65",
		"ALLOW_OWNER_ROLE=perhaps",
	)
	if n := strings.Count(got, "\n"); n != 10 {
		t.Errorf("%d lines, want 10", n)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a secret is in the message")
	}
	golden.File(t, "ten_faults.txt", got)
}

func TestFaults(t *testing.T) {
	dir := t.TempDir()
	empty := write(t, dir, "empty", "\n")
	nul := write(t, dir, "nul", "a\x00b")
	long := strings.Repeat("q", 251)
	var out strings.Builder
	for _, c := range []struct {
		what    string
		binary  Binary
		environ []string
	}{
		{"password missing", ForConsumer, nil},
		{"password empty", ForConsumer, []string{"DATABASE_PASSWORD="}},
		{"migrate without its password", ForMigrate, nil},
		{"roles without any", ForRoles, nil},
		{"secret file missing", ForConsumer, []string{"DATABASE_PASSWORD_FILE=/does/not/exist"}},
		{"secret file empty", ForConsumer, []string{"DATABASE_PASSWORD_FILE=" + empty}},
		{"secret file endless", ForConsumer, []string{"DATABASE_PASSWORD_FILE=/dev/zero"}},
		{"secret file a directory", ForConsumer, []string{"DATABASE_PASSWORD_FILE=/"}},
		{"secret with NUL", ForConsumer, []string{"DATABASE_PASSWORD_FILE=" + nul}},
		{"ports", ForProducer, []string{"RABBITMQ_PORT=0", "PRODUCER_PORT=-1", "CONSUMER_PORT=65536"}},
		{"numbers", ForProducer, []string{"RABBITMQ_EVENTS_PER_MESSAGE=0", "CONSUMER_BATCH_SIZE=1e3", "CONSUMER_RETRY_ATTEMPTS=99999999999"}},
		{"durations", ForProducer, []string{"RABBITMQ_CONFIRM_TIMEOUT=0", "EVENT_ID_MAX_AGE=1e300", "CONSUMER_RETRY_DELAY=NaN", "CONSUMER_LINGER=-2ms", "CONSUMER_SHUTDOWN_TIMEOUT=8d8"}},
		{"sizes", ForProducer, []string{"PRODUCER_MEMORY_BUDGET=9223372036854775807GiB"}},
		{"queue name", ForProducer, []string{"RABBITMQ_QUEUE_NAME=" + long}},
		{"queue name's characters", ForProducer, []string{"RABBITMQ_QUEUE_NAME=a\nb"}},
		{"long names", ForProducer, []string{"RABBITMQ_USER=" + long + "12345", "DATABASE_USER=" + long}},
		{"blank", ForProducer, []string{"ENVIRONMENT=  "}},
		{"classic with groups", ForProducer, []string{"RABBITMQ_QUEUE_TYPE=classic", "RABBITMQ_EVENTS_PER_MESSAGE=2"}},
		{"certificate without key", ForProducer, []string{"PRODUCER_TLS_CERT_FILE=" + empty}},
		{"key without certificate", ForConsumer, []string{"DATABASE_PASSWORD=x", "DATABASE_SSLKEY=" + empty}},
		{"files missing", ForProducer, []string{"RABBITMQ_TLS=yes", "RABBITMQ_CACERTFILE=/does/not/exist", "PRODUCER_TLS_CERT_FILE=/", "PRODUCER_TLS_KEY_FILE=/does/not/exist"}},
		{"TLS's files without TLS", ForProducer, []string{"RABBITMQ_CACERTFILE=" + empty, "RABBITMQ_SERVER_NAME=mq"}},
		{"management's URL", ForProducer, []string{"RABBITMQ_MANAGEMENT_URL=rabbitmq:15672", "RABBITMQ_ALLOW_LOSSY_POLICIES=perhaps"}},
		{"management's user", ForConsumer, []string{"DATABASE_PASSWORD=x", "RABBITMQ_MANAGEMENT_URL=http://user:hunter2@rabbitmq:15672"}},
		{"management's query", ForLetters, []string{"RABBITMQ_MANAGEMENT_URL=http://rabbitmq:15672/?token=hunter2"}},
		{"management in the clear", ForProducer, []string{"RABBITMQ_TLS=true", "RABBITMQ_MANAGEMENT_URL=http://rabbitmq:15672"}},
		{"who may send", ForProducer, []string{
			"PRODUCER_METRICS_PORT=8001", "PRODUCER_API_KEYS_FILE=/does/not/exist", "PRODUCER_RATE_LIMIT=-1", "PRODUCER_RATE_BURST=0",
			"PRODUCER_TRUSTED_PROXIES=10.0.0.0/33", "PRODUCER_CORS_ORIGINS=https://app.example.org/path", "PRODUCER_IDLE_TIMEOUT=0",
		}},
		{"no origins", ForProducer, []string{"PRODUCER_CORS_ORIGINS=,"}},
		{"tracing's files", ForProducer, []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE=/does/not/exist", "OTEL_EXPORTER_OTLP_CLIENT_KEY=" + empty,
		}},
	} {
		got := faults(t, c.binary, t.TempDir(), c.environ...)
		out.WriteString("# " + c.what + "\n" + strings.ReplaceAll(got, dir, "DIR"))
	}
	golden.File(t, "faults.txt", out.String())
}

// A .env is often shared, so settings of another binary are checked for their
// form, but what only that binary has (secrets, mounted files) is not asked for.
func TestOtherBinarysSettings(t *testing.T) {
	load(t, ForProducer,
		"DATABASE_PASSWORD_FILE=/not/mounted/here",
		"DATABASE_SSLROOTCERT=/not/mounted/here",
		"CONSUMER_WORKERS=4",
	)
	if got := faults(t, ForProducer, t.TempDir(), "CONSUMER_WORKERS=x"); !strings.HasPrefix(got, "CONSUMER_WORKERS: ") {
		t.Errorf("got %s", got)
	}
}

func TestPasswordsOfAnyCharacters(t *testing.T) {
	const password = `p@ss:w/rd?#%&"'`
	for _, password := range []string{password, " leading and trailing ", "日本語", "a\nb", `back\slash`, "$HOME ${HOME} $(id)", "=="} {
		t.Run(password, func(t *testing.T) {
			file := write(t, t.TempDir(), "secret", password+"\n")
			for _, environ := range []string{"DATABASE_PASSWORD=" + password, "DATABASE_PASSWORD_FILE=" + file} {
				if got := load(t, ForConsumer, environ).Database.Password.Reveal(); got != password {
					t.Errorf("%q became %q", environ, got)
				}
			}
		})
	}
	t.Run("in .env", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, ".env", "DATABASE_PASSWORD="+password+"\nRABBITMQ_PASSWORD='$HOME # no comment'\n")
		cfg, err := Load(ForConsumer, nil, dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Database.Password.Reveal(); got != password {
			t.Errorf("got %q", got)
		}
		if got := cfg.RabbitMQ.Password.Reveal(); got != "$HOME # no comment" {
			t.Errorf("got %q", got)
		}
	})
}

// A file of a secret is read as RabbitMQ's prepare.sh in the chart reads it.
func TestSecretFileLosesWhatEditorsAdd(t *testing.T) {
	for content, want := range map[string]string{
		"a\n": "a", "a\r\n": "a", "a\n\n": "a", "a\r\n\r\n": "a", "\ufeffa\r\n": "a", "a\nb\n": "a\nb", "a": "a", " a ": " a ",
	} {
		file := write(t, t.TempDir(), "secret", content)
		if got := load(t, ForConsumer, "DATABASE_PASSWORD_FILE="+file).Database.Password.Reveal(); got != want {
			t.Errorf("%q gave %q, want %q", content, got, want)
		}
	}
}

func TestDotEnv(t *testing.T) {
	dir := t.TempDir()
	secret := write(t, dir, "secret", "from file")
	write(t, dir, ".env", strings.Join([]string{
		"\ufeff# as env_template.txt of the original",
		"DATABASE_HOST=db.example # a comment",
		"export DATABASE_NAME=\"trail\"",
		"DATABASE_PASSWORD=from dotenv",
		"RABBITMQ_HOST=mq.example",
		"PRODUCER_PORT=",
	}, "\r\n"))

	cfg, err := Load(ForConsumer, []string{
		"RABBITMQ_HOST=real.example",       // the environment wins
		"DATABASE_NAME=",                   // empty is absent
		"DATABASE_PASSWORD_FILE=" + secret, // a secret's two forms are one setting
	}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want string }{
		{cfg.Database.Host, "db.example"},
		{cfg.Database.Name, "trail"},
		{cfg.Database.Password.Reveal(), "from file"},
		{cfg.RabbitMQ.Addr(), "real.example:5672"},
		{cfg.Producer.Addr(), "0.0.0.0:8001"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// What can't be read of .env must not be shown: it may be a secret.
func TestBrokenDotEnv(t *testing.T) {
	for content, want := range map[string]string{
		"DATABASE_PASSWORD='hunter2\n":       ".env: cannot be parsed",
		"a password is hunter2 = not a name": ".env: cannot be parsed",
		"RABBITMQ_PORT=x\nDATABASE_PASSWORD": ".env: cannot be parsed",
	} {
		dir := t.TempDir()
		write(t, dir, ".env", content)
		got := faults(t, ForProducer, dir)
		if !strings.HasPrefix(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%q gave %s", content, got)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".env"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := faults(t, ForProducer, dir); !strings.HasPrefix(got, ".env: cannot be read: is a directory") {
		t.Error(got)
	}
}

func TestDependentDefaults(t *testing.T) {
	if got := load(t, ForProducer, "RABBITMQ_QUEUE_TYPE=classic").RabbitMQ.EventsPerMessage; got != 1 {
		t.Errorf("classic: %d events a message, want 1", got)
	}
	if got := load(t, ForProducer, "RABBITMQ_TLS=true").RabbitMQ.Port; got != 5671 {
		t.Errorf("TLS: port %d, want 5671", got)
	}
	if got := load(t, ForProducer, "RABBITMQ_TLS=true", "RABBITMQ_PORT=5672").RabbitMQ.Port; got != 5672 {
		t.Errorf("TLS on a port of choice: %d, want 5672", got)
	}
}

func TestManagementURL(t *testing.T) {
	ca := write(t, t.TempDir(), "ca.pem", "")
	load(t, ForProducer, "RABBITMQ_MANAGEMENT_URL=https://rabbitmq:15671/prefix", "RABBITMQ_CACERTFILE="+ca)
	load(t, ForProducer, "RABBITMQ_TLS=true", "RABBITMQ_MANAGEMENT_URL=http://[::1]:15672") // a proxy beside it
	if got := load(t, ForLetters, "RABBITMQ_MANAGEMENT_URL=http://rabbitmq:15672/").RabbitMQ; got.ManagementTLS() || got.AllowLossy {
		t.Errorf("got %+v", got)
	}
}

func TestExitCode(t *testing.T) {
	if got := ExitCode(nil); got != 0 {
		t.Errorf("nil: %d", got)
	}
	if got := ExitCode(errors.New("other")); got != 1 {
		t.Errorf("other: %d", got)
	}
}
