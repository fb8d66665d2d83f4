package pipeline

import (
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// Pipeline is a database, a vhost, and what the services are told of them.
type Pipeline struct {
	T       *testing.T
	DB      testbed.DB
	Vhost   testbed.Vhost
	Environ []string // settings
	Log     *slog.Logger
	Reader  *pgx.Conn
}

// New is a pipeline on a database and a virtual host of its own, on the shared servers.
func New(t *testing.T, settings ...string) *Pipeline {
	t.Helper()
	return On(t, testbed.Postgres(t), testbed.Rabbit(t), settings...)
}

// On is a pipeline on that database and that virtual host.
func On(t *testing.T, db testbed.DB, vhost testbed.Vhost, settings ...string) *Pipeline {
	t.Helper()
	s := &Pipeline{T: t, DB: db, Vhost: vhost}
	s.Environ = append([]string{
		"DATABASE_HOST=" + db.Host,
		"DATABASE_PORT=" + strconv.Itoa(int(db.Port)),
		"DATABASE_NAME=" + db.Name,
		"DATABASE_USER=" + db.Writer.Name,
		"DATABASE_PASSWORD=" + db.Writer.Password,
		"RABBITMQ_HOST=" + vhost.Host,
		"RABBITMQ_PORT=" + strconv.Itoa(vhost.Port),
		"RABBITMQ_USER=" + vhost.User,
		"RABBITMQ_PASSWORD=" + vhost.Password,
		"RABBITMQ_VHOST=" + vhost.Name,
		"PRODUCER_HOST=127.0.0.1", "PRODUCER_PORT=0",
		"CONSUMER_HOST=127.0.0.1", "CONSUMER_PORT=0",
		"CONSUMER_RETRY_DELAY=1",
		"LOG_LEVEL=INFO",
	}, settings...)
	s.Log = slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s.Reader = db.Connect(t, db.Reader)
	return s
}

// testWriter shows the log of a failed test.
type testWriter struct {
	mu sync.Mutex
	t  *testing.T
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil { // Log panics after the test
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// Config is what a binary makes of the settings.
func (s *Pipeline) Config(binary config.Binary) *config.Config {
	s.T.Helper()
	cfg, err := config.Load(binary, s.Environ, s.T.TempDir())
	if err != nil {
		s.T.Fatal(err)
	}
	return cfg
}

// Broker is how the services reach RabbitMQ.
func (s *Pipeline) Broker() broker.Config {
	s.T.Helper()
	cfg, err := app.Broker(s.Config(config.ForLetters), "test", s.Log)
	if err != nil {
		s.T.Fatal(err)
	}
	return cfg
}
