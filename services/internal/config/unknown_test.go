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
	}
	others := []string{
		"RABBITMQ_PASSWORD=x", "PRODUCER_HOST=127.0.0.1", "PRODUCER_EMPTY=", "READER_DATABASE_PASSWORD_FILE=/not/here",
		"RABBITMQ_SERVICE_HOST=10.0.0.1", "RABBITMQ_SERVICE_PORT=5672", "RABBITMQ_SERVICE_PORT_AMQP=5672",
		"RABBITMQ_HEADLESS_PORT=tcp://10.0.0.1:5672", "RABBITMQ_PORT_5672_TCP=tcp://10.0.0.1:5672",
		"RABBITMQ_PORT_5672_TCP_PROTO=tcp", "RABBITMQ_PORT_5672_TCP_PORT=5672", "RABBITMQ_PORT_5672_TCP_ADDR=10.0.0.1",
		"OTEL_LOGS_EXPORTER=none", "PATH=/bin", "HOME=/", "LOG_DIR=/x",
	}
	cfg, err := Load(ForConsumer|ForProducer, append(misspelt, others...), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"CONSUMER_WORKER", "DATABASE_SSL", "DATABASE_USER_FILE", "MIGRATE_PASSWORD", "PRODUCER_API_KEYS", "PRODUCER_API_KEY_FILE", "PROFILES_ADDR",
		"RABBITMQ_HOSTNAME", "READER_PASSWORD"}
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
