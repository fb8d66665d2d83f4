package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Names that belong to the benchmark alone.
const (
	databaseName = "trailpost_bench"
	queueName    = "log_queue"

	benchPassword = "bench"
)

// bench is the servers, and what every measurement needs of them.
type bench struct {
	options
	brokerURL string // of withservers
	broker    amqp.URI
	database  *pgx.ConnConfig // the superuser's, of the benchmark's database
	admin     *pgx.Conn
	conn      *amqp.Connection
	ch        *amqp.Channel
	logs      string // folder of the services' logs
	versions  string
}

func newBench(ctx context.Context, o options) (b *bench, err error) {
	b = &bench{options: o, brokerURL: os.Getenv("AMQP_URL")}
	if b.brokerURL == "" || os.Getenv("PGHOST") == "" {
		return nil, errors.New("AMQP_URL and PGHOST say where the servers are; run it as `make bench` does, below withservers -export")
	}
	if b.broker, err = amqp.ParseURI(b.brokerURL); err != nil {
		return nil, err
	}
	if b.logs, err = os.MkdirTemp("", "trailpost-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.database, err = pgx.ParseConfig(""); err != nil {
		return nil, err
	}
	b.database.Database = databaseName
	for _, step := range []string{"roles", "up"} {
		if err := b.migrate(ctx, step); err != nil {
			return nil, err
		}
	}
	if b.admin, err = pgx.ConnectConfig(ctx, b.database); err != nil {
		return nil, err
	}
	if b.conn, err = amqp.Dial(b.brokerURL); err != nil {
		return nil, err
	}
	if b.ch, err = b.conn.Channel(); err != nil {
		return nil, err
	}
	version, _ := b.conn.Properties["version"].(string)
	b.versions = fmt.Sprintf("RabbitMQ %s, PostgreSQL %s", version, b.admin.PgConn().ParameterStatus("server_version"))
	err = b.declare(ctx)
	return b, err
}

// declare has a producer declare the queues as it always does.
func (b *bench) declare(ctx context.Context) error {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	return p.Stop()
}

func (b *bench) close() {
	if b.admin != nil {
		_ = b.admin.Close(context.Background())
	}
	if b.conn != nil {
		_ = b.conn.Close()
	}
	_ = os.RemoveAll(b.logs)
}

// settings are the environment that every service gets. Whatever it does not name has its default.
func (b *bench) settings() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LOG_LEVEL=WARNING",
		"DATABASE_HOST=" + b.database.Host, fmt.Sprintf("DATABASE_PORT=%d", b.database.Port), "DATABASE_NAME=" + databaseName,
		"DATABASE_USER=bench_writer", "DATABASE_PASSWORD=" + benchPassword,
		"MIGRATE_DATABASE_USER=bench_owner", "MIGRATE_DATABASE_PASSWORD=" + benchPassword,
		"READER_DATABASE_USER=bench_reader", "READER_DATABASE_PASSWORD=" + benchPassword,
		"ADMIN_DATABASE_USER=" + b.database.User, "ADMIN_DATABASE_PASSWORD=" + b.database.Password,
		"RABBITMQ_HOST=" + b.broker.Host, fmt.Sprintf("RABBITMQ_PORT=%d", b.broker.Port),
		"RABBITMQ_USER=" + b.broker.Username, "RABBITMQ_PASSWORD=" + b.broker.Password, "RABBITMQ_QUEUE_NAME=" + queueName,
	}
}

func (b *bench) binary(name string) (string, error) { return filepath.Abs(filepath.Join(b.bin, name)) }

// clean empties the queue and the trail.
func (b *bench) clean(ctx context.Context) error {
	if err := b.purge(); err != nil {
		return err
	}
	// The first id of a session makes its row; later ones find it, as in real life.
	_, err := b.admin.Exec(ctx, "TRUNCATE log_events")
	return err
}

func (b *bench) purge() error {
	_, err := b.ch.QueuePurge(queueName, false)
	return err
}

// rows counts the trail, which no measurement may have lost or doubled anything of.
func (b *bench) expectRows(ctx context.Context, want int) error {
	var rows int
	if err := b.admin.QueryRow(ctx, "SELECT count(*) FROM log_events").Scan(&rows); err != nil {
		return err
	}
	if rows != want {
		return fmt.Errorf("%d rows in the trail, want %d", rows, want)
	}
	return nil
}
