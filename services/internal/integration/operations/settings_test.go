package operations

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

func TestTenBadSettingsAreTenLines(t *testing.T) {
	bad := []string{
		"DATABASE_PORT=seven", "DATABASE_SSLMODE=maybe", "RABBITMQ_PORT=0", "RABBITMQ_QUEUE_NAME=amq.mine", "RABBITMQ_QUEUE_TYPE=stream",
		"LOG_LEVEL=loud", "PRODUCER_PORT=70000", "CONSUMER_RETRY_ATTEMPTS=-1", "CONSUMER_RETRY_DELAY=soon", "CONSUMER_WORKERS=0",
	}
	s := pipeline.New(t)
	for _, role := range []string{"producer", "consumer"} {
		code, output := s.Exit(role, bad...)
		lines := strings.Split(strings.TrimSpace(output), "\n")
		if code != 2 || len(lines) != len(bad) {
			t.Errorf("%s: exit code %d, %d lines:\n%s", role, code, len(lines), output)
		}
		for _, setting := range bad {
			if name, _, _ := strings.Cut(setting, "="); !strings.Contains(output, name) {
				t.Errorf("%s: %s is not named", role, name)
			}
		}
	}
}

// The test's own logins have every character that a URL, a shell or a file
// could trip over.
func TestNoPasswordIsLogged(t *testing.T) {
	s := pipeline.New(t)
	log := s.Logged("LOG_LEVEL=DEBUG")
	for _, password := range []string{s.DB.Writer.Password, s.Vhost.Password} {
		if !strings.ContainsAny(password, `@:/?#%&"'`) {
			t.Fatalf("the test's password is too plain")
		}
	}
	producer, consumer := s.Producer(), s.Consumer()
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", pipeline.Example); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	s.WaitRows(1)
	if err := producer.Stop(); err != nil {
		t.Error(err)
	}
	if err := consumer.Stop(); err != nil {
		t.Error(err)
	}
	// And where they are refused, in what the operator is told.
	output := log.String()
	for _, change := range []string{"DATABASE_USER=" + s.DB.Reader.Name, "RABBITMQ_USER=nobody", "DATABASE_HOST=127.0.0.2", "RABBITMQ_VHOST=elsewhere"} {
		p := s.Spawn("consumer", change, "LOG_LEVEL=DEBUG")
		pipeline.Eventually(t, "the refusal is logged", func() bool { return strings.Contains(p.Log.String(), "trying again") })
		output += p.Log.String()
		p.Kill()
	}
	for _, password := range []string{s.DB.Writer.Password, s.Vhost.Password} {
		if strings.Contains(output, password) || strings.Contains(output, password[:8]) {
			t.Errorf("a password is in the log")
		}
	}
	if !strings.Contains(output, "Log event processed") {
		t.Error("there is no log to speak of")
	}
}

// TestOwnerRoleIsWarnedOf: whoever lets a consumer run as the owner is told each time what that means.
func TestOwnerRoleIsWarnedOf(t *testing.T) {
	s := pipeline.New(t)
	log := s.Logged("DATABASE_USER="+s.DB.Owner.Name, "DATABASE_PASSWORD="+s.DB.Owner.Password, "ALLOW_OWNER_ROLE=true")
	s.Consumer()
	pipeline.Eventually(t, "it warns", func() bool { return strings.Contains(log.String(), "ALLOW_OWNER_ROLE is set") })
}

func TestTheConsumerRefusesWhatItMustNotRunOn(t *testing.T) {
	s := pipeline.New(t)
	t.Run("the owner's role", func(t *testing.T) {
		code, output := s.Exit("consumer", "DATABASE_USER="+s.DB.Owner.Name, "DATABASE_PASSWORD="+s.DB.Owner.Password)
		if code != 1 || !strings.Contains(output, "ALLOW_OWNER_ROLE") {
			t.Errorf("%d %s", code, output)
		}
	})
	t.Run("a schema that is too old", func(t *testing.T) {
		empty := testbed.EmptyPostgres(t)
		code, output := s.Exit("consumer", "DATABASE_NAME="+empty.Name)
		if code != 1 || !strings.Contains(output, "version 0") || !strings.Contains(output, "migrate up") {
			t.Errorf("%d %s", code, output)
		}
	})
	t.Run("a queue of another kind", func(t *testing.T) {
		other := pipeline.On(t, s.DB, testbed.Rabbit(t), "RABBITMQ_QUEUE_TYPE=classic")
		other.Producer()
		for _, role := range []string{"producer", "consumer"} {
			code, output := other.Exit(role, "RABBITMQ_QUEUE_TYPE=quorum")
			if code != 1 || !strings.Contains(output, "RABBITMQ_QUEUE_TYPE") {
				t.Errorf("%s: %d %s", role, code, output)
			}
		}
	})
}

// A client certificate that was renewed is the one of the next connection.
func TestTheBrokersClientCertificateIsReadAgain(t *testing.T) {
	certificate, key := selfSigned(t)
	s := &pipeline.Pipeline{T: t, Environ: []string{
		"RABBITMQ_TLS=true", "RABBITMQ_CERTFILE=" + certificate, "RABBITMQ_KEYFILE=" + key, "RABBITMQ_CACERTFILE=" + certificate,
	}}
	cfg, err := app.Broker(s.Config(config.ForProducer), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() []byte {
		t.Helper()
		settings, err := cfg.TLS()
		if err != nil {
			t.Fatal(err)
		}
		pair, err := settings.GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Certificate[0]
	}
	first := serial()
	renewed, renewedKey := selfSigned(t)
	for from, to := range map[string]string{renewed: certificate, renewedKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(serial(), first) {
		t.Error("the former certificate is used")
	}
}

func TestAKeysFileThatCannotBeReadIsAWrongSetting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, output := pipeline.New(t).Exit("producer", "PRODUCER_API_KEYS_FILE="+file)
	if code != 2 || !strings.Contains(output, "PRODUCER_API_KEYS_FILE: ") {
		t.Errorf("exit code %d: %s", code, output)
	}
}
