package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A misspelt setting is told, by whichever way it came; what Kubernetes and others set is not.
func TestUnknown(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("CONSUMER_WORKER=4\nDATABASE_PASSWORD=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	misspelt := []string{
		"PRODUCER_API_KEY_FILE=/keys", "PRODUCER_API_KEYS=x", "RABBITMQ_HOSTNAME=mq", "DATABASE_SSL=true", "DATABASE_USER_FILE=/user",
		"MIGRATE_PASSWORD=x", "READER_PASSWORD=x", "PROFILES_ADDR=x",
		"PRODUCER_METRIC_PORT=9999", "CONSUMER_METRICS_PORT=9", "RABBITMQ_MANAGEMENT_PORT=15672", "RABBITMQ_SERVICE_HOST=mq", "DATABASE_URL=x",
		"IDENTITY_KEYFILE=/key", "ALLOW_OWNER_ROL=true", "LOG_LEVLE=DEBUG", "EVENT_ID_MAXAGE=1h", "ADMIN_DATABASE_USR=x", "ENVIROMENT=production",
		"OTEL_SDK_DISABLE=true",
	}
	others := []string{
		"RABBITMQ_PASSWORD=x", "PRODUCER_HOST=127.0.0.1", "PRODUCER_EMPTY=", "READER_DATABASE_PASSWORD_FILE=/not/here",
		"RABBITMQ_HA_SERVICE_HOST=10.0.0.1", "RABBITMQ_SERVICE_PORT=5672", "RABBITMQ_SERVICE_PORT_AMQP=5672",
		"RABBITMQ_HEADLESS_PORT=tcp://10.0.0.1:5672", "CONSUMER_SIX_SERVICE_HOST=fd00::1", "CONSUMER_SIX_PORT=udp://[fd00::1]:53", "RABBITMQ_PORT_5672_TCP=tcp://10.0.0.1:5672",
		"RABBITMQ_PORT_5672_TCP_PROTO=tcp", "RABBITMQ_PORT_5672_TCP_PORT=5672", "RABBITMQ_PORT_5672_TCP_ADDR=10.0.0.1",
		"OTEL_LOGS_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_INSECURE=true", "PATH=/bin", "HOME=/", "LOG_DIR=/x", "PORT=80",
		"ADMIN_PASSWORD=x", "IDENTITY_TOKEN=x", "EVENT_LOOP=x",
		"PRODUCER_URL=x", "CONSUMER_URL=x", "RABBITMQ_NODENAME=rabbit@x", "RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_DEFAULT_USER=x",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=x",
	}
	cfg, err := Load(ForConsumer|ForProducer, append(misspelt, others...), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ADMIN_DATABASE_USR", "ALLOW_OWNER_ROL", "CONSUMER_METRICS_PORT", "CONSUMER_WORKER", "DATABASE_SSL", "DATABASE_URL", "DATABASE_USER_FILE",
		"ENVIROMENT", "EVENT_ID_MAXAGE", "IDENTITY_KEYFILE", "LOG_LEVLE", "MIGRATE_PASSWORD", "OTEL_SDK_DISABLE", "PRODUCER_API_KEYS", "PRODUCER_API_KEY_FILE",
		"PRODUCER_METRIC_PORT", "PROFILES_ADDR", "RABBITMQ_HOSTNAME", "RABBITMQ_MANAGEMENT_PORT", "RABBITMQ_SERVICE_HOST", "READER_PASSWORD"}
	var got []string
	for _, w := range cfg.Warnings() {
		got = append(got, w.Name)
		if w.Got != "" || !strings.Contains(w.Problem, "no such setting") {
			t.Errorf("%s", w)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("unknown: %q, want %q", got, want)
	}
}

// Where a setting is missing, its misspelt name is told beside it.
func TestUnknownBesideFaults(t *testing.T) {
	_, err := Load(ForConsumer, []string{"DATABASE_PASWRD=x", "RABBITMQ_PASSWORD=x", "CONSUMER_PORTT=1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://x"}, t.TempDir())
	const want = "DATABASE_PASSWORD: is required; set it or DATABASE_PASSWORD_FILE\n" +
		"CONSUMER_PORTT: is set, and there is no such setting: is CONSUMER_PORT meant?\n" +
		"DATABASE_PASWRD: is set, and there is no such setting: is DATABASE_PASSWORD meant?"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// What was meant is named, and what is far from everything is not.
func TestUnknownNamesWhatIsMeant(t *testing.T) {
	for name, want := range map[string]string{
		"PRODUCER_METRIC_PORT": "is PRODUCER_METRICS_PORT meant?", "IDENTITY_KEYFILE": "is IDENTITY_KEY_FILE meant?", "LOG_LEVLE": "is LOG_LEVEL meant?",
		"ENVIROMENT": "is ENVIRONMENT meant?", "DATABASE_URL": "is it misspelt?",
	} {
		warnings := load(t, ForProducer, name+"=1").Warnings()
		if len(warnings) != 1 || !strings.HasSuffix(warnings[0].String(), want) {
			t.Errorf("%s: %q, want %q", name, warnings, want)
		}
	}
	if warnings := load(t, ForProducer, "DATABASE_URL=x", "DATABASE_HOST=h").Warnings(); len(warnings) > 0 {
		t.Errorf("a URL for others, beside a host: %q", warnings)
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"A", ""}: 1, {"", "AB"}: 2, {"LEVEL", "LEVEL"}: 0, {"LEVLE", "LEVEL"}: 1, {"LEVL", "LEVEL"}: 1, {"LAVEL", "LEVEL"}: 1, {"KITTEN", "SITTING"}: 3,
	} {
		if got := distance(pair[0], pair[1]); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}
