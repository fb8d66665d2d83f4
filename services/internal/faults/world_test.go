package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/test/ledger"
)

// patience is a test's with what takes seconds when the machine has time.
const patience = 2 * time.Minute

const queue = "log_queue"

// world is a pair of servers, the services as processes, and a proxy on every
// connection between.
type world struct {
	t       testing.TB
	servers *testbed.Servers
	db      testbed.DB
	vhost   testbed.Vhost

	request, publish, consume, store *proxy

	replicas  *replicas // nil: one PostgreSQL, servers.Postgres
	mutant    mutant    // what the services are; the product in the zero one
	producer  *child
	consumers []*child
	client    *ledger.Client
}

// newWorld starts everything. binary is what the services run: this test's own,
// or one that breaks a promise.
func newWorld(t testing.TB, binary string) *world {
	t.Helper()
	return makeWorld(t, binary, false)
}

// newReplicatedWorld is newWorld whose PostgreSQL has a synchronous standby, where that
// can be had.
func newReplicatedWorld(t testing.TB, binary string) *world {
	t.Helper()
	return makeWorld(t, binary, true)
}

func makeWorld(t testing.TB, binary string, replicated bool) *world {
	t.Helper()
	servers := testbed.OwnServers(t)
	w := &world{t: t, servers: servers, db: servers.Database(t), vhost: servers.Vhost(t)}
	rabbit := net.JoinHostPort(w.vhost.Host, strconv.Itoa(w.vhost.Port))
	port := freePort(t)
	w.request = newProxy(t, "request", "127.0.0.1:"+port)
	w.publish = newProxy(t, "publish", rabbit)
	w.consume = newProxy(t, "consume", rabbit)
	database := w.servers.Postgres.Address()
	if replicated && w.servers.Local() {
		w.replicas = newReplicas(t, w.servers.Postgres)
		database = w.replicas.address.addr()
	}
	w.store = newProxy(t, "store", database)
	w.client = w.newClient()

	// The pauses are short, so that much happens in a minute.
	environ := []string{
		"RABBITMQ_HOST=127.0.0.1",
		"RABBITMQ_USER=" + w.vhost.User, "RABBITMQ_PASSWORD=" + w.vhost.Password, "RABBITMQ_VHOST=" + w.vhost.Name,
		"RABBITMQ_CONFIRM_TIMEOUT=3s",
		"DATABASE_HOST=127.0.0.1", "DATABASE_PORT=" + w.store.port(), "DATABASE_NAME=" + w.db.Name,
		"DATABASE_USER=" + w.db.Writer.Name, "DATABASE_PASSWORD=" + w.db.Writer.Password,
		"DATABASE_CONNECT_TIMEOUT=3s",
		"PRODUCER_HOST=127.0.0.1", "PRODUCER_PORT=" + port, "PRODUCER_REQUEST_TIMEOUT=5s",
		"CONSUMER_HOST=127.0.0.1", "CONSUMER_PORT=0", "CONSUMER_BATCH_SIZE=200",
		"CONSUMER_RETRY_ATTEMPTS=1", "CONSUMER_RETRY_DELAY=0.2",
		"LOG_LEVEL=WARNING",
	}
	if w.replicas != nil {
		environ = append(environ, storeTimeoutVariable+"="+shortStoreTimeout.String())
	}
	environ = slices.Clip(environ) // each child has its own port after it
	w.producer = &child{role: "producer", binary: binary, dir: t.TempDir(), environ: append(environ, "RABBITMQ_PORT="+w.publish.port())}
	for range 2 {
		w.consumers = append(w.consumers,
			&child{role: "consumer", binary: binary, dir: t.TempDir(), environ: append(environ, "RABBITMQ_PORT="+w.consume.port())})
	}
	for _, c := range w.children() {
		if err := c.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.kill()
			if t.Failed() {
				t.Logf("the end of what a %s logged:\n%s", c.role, c.log.end())
			}
			if log := c.log.since(0); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
				t.Errorf("a %s raced or panicked:\n%s", c.role, c.log.end())
			}
		})
	}
	w.ready()
	// RabbitMQ writes down which quorum queues it has every half second: one that is killed
	// before comes back without a leader for them (seen with 3.10.8).
	time.Sleep(2 * time.Second)
	return w
}

// become has the services be others from now on.
func (w *world) become(m mutant) {
	w.t.Helper()
	w.mutant = m
	for _, c := range w.children() {
		c.mutant = m.name
		if err := errors.Join(c.kill(), c.start()); err != nil {
			w.t.Fatal(err)
		}
	}
	w.ready()
}

func (w *world) children() []*child { return append([]*child{w.producer}, w.consumers...) }

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// newClient is a client of the producer's that tries again soon.
func (w *world) newClient() *ledger.Client {
	c := ledger.NewClient("http://" + w.request.addr())
	c.MaxPause = 200 * time.Millisecond
	c.HTTP.Timeout = 10 * time.Second
	w.t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// ready waits until all services are.
func (w *world) ready() {
	w.t.Helper()
	if err := w.readyWithin(patience); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) readyWithin(limit time.Duration) error {
	direct := &http.Client{Timeout: 5 * time.Second}
	deadline := time.Now().Add(limit)
	for _, c := range w.children() {
		for {
			err := readyz(direct, c.addr)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("the %s is not ready within %s: %w", c.role, limit, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

func readyz(client *http.Client, addr string) error {
	response, err := client.Get("http://" + addr + "/readyz")
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", response.Status)
	}
	return nil
}

// exec runs a statement in the world's database as the superuser, past the proxy.
func (w *world) exec(sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return insist(func() error { return w.postgres().Exec(ctx, w.db.Name, sql, args...) })
}

// insist does again what PostgreSQL stopped to break a deadlock: the load goes on
// while tables are changed.
func insist(do func() error) error {
	const most = 20
	var err error
	for range most {
		if err = do(); store.SQLState(err) != "40P01" {
			return err
		}
	}
	return err
}

// ctl runs rabbitmqctl.
func (w *world) ctl(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := w.servers.Rabbit.Ctl(ctx, args...)
	return err
}

func (w *world) brokerConfig() broker.Config {
	return broker.Config{
		Host: w.vhost.Host, Port: w.vhost.Port, User: w.vhost.User, Password: w.vhost.Password, VHost: w.vhost.Name,
		Queue: queue, Name: "judge", Logger: slog.New(slog.DiscardHandler),
	}
}

// settled waits until everything that was accepted has come to its end, and has it
// judged.
func (w *world) settled(l *ledger.Ledger) (v ledger.Verdict) {
	w.t.Helper()
	return w.settledWithin(l, patience)
}

func (w *world) settledWithin(l *ledger.Ledger, limit time.Duration) (v ledger.Verdict) {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		arrived, err := w.arrived(l)
		if err == nil && arrived >= l.Accepted() {
			v, err = w.judge(l)
			if err == nil && v.Lost == 0 {
				return v
			}
		}
		if time.Now().After(deadline) {
			if err != nil {
				w.t.Fatalf("not to be judged: %v", err)
			}
			if v, err = w.judge(l); err != nil {
				w.t.Fatal(err)
			}
			return v
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// arrived is a quick count of rows and dead letters.
func (w *world) arrived(l *ledger.Ledger) (n int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := w.postgres().Connect(ctx, w.db.Name)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM log_events WHERE payload ->> 'run' = $1", l.Run).Scan(&n); err != nil {
		return 0, err
	}
	dead, err := admin.OpenBrowser(ctx, w.brokerConfig(), broker.DeadQueue(queue))
	if err != nil {
		return 0, err
	}
	defer func() { _ = dead.Close() }()
	letters, err := dead.Ready()
	return n + letters, err
}

// judge compares a ledger with what is there now.
func (w *world) judge(l *ledger.Ledger) (v ledger.Verdict, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	rows, err := w.rows(ctx, l)
	if err != nil {
		return v, err
	}
	letters, err := w.letters(ctx)
	if err != nil {
		return v, err
	}
	return l.Judge(rows, letters), nil
}

func (w *world) rows(ctx context.Context, l *ledger.Ledger) (all []ledger.Event, err error) {
	conn, err := w.postgres().Connect(ctx, w.db.Name)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, ledger.Rows, l.Run)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Event, error) { return ledger.Scan(row) })
}

// letters are all dead letters; they stay where they are.
func (w *world) letters(ctx context.Context) (all []ledger.Letter, err error) {
	b, err := admin.OpenBrowser(ctx, w.brokerConfig(), broker.DeadQueue(queue))
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close() }()
	for {
		d, ok, err := b.Get()
		if err != nil || !ok {
			return all, err
		}
		reason := d.Header(deadletter.HeaderReason)
		if reason == "" {
			reason = "delivery_limit" // the broker's own
		}
		lines := [][]byte{d.Body}
		if split, err := d.Lines(); d.IsGroup() && err == nil && len(split) > 0 {
			lines = split // the broker dead-letters a group as one
		}
		for _, line := range lines {
			letter, err := ledger.ParseLetter(line, reason)
			if err != nil {
				letter = ledger.Letter{Reason: reason} // never sent by a ledger's client
			}
			all = append(all, letter)
		}
	}
}

// purge deletes all dead letters.
func (w *world) purge() {
	w.t.Helper()
	err := w.onChannel(func(ch *amqp.Channel) error {
		_, err := ch.QueuePurge(broker.DeadQueue(queue), false)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// onQueue is how many messages wait for a consumer, and how many workers consume, as the
// broker sees it.
func (w *world) onQueue() (waiting, consumers int, err error) {
	err = w.onChannel(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		waiting, consumers = q.Messages, q.Consumers
		return err
	})
	return waiting, consumers, err
}

// onChannel asks the broker for something on a connection of its own: rabbitmqctl takes a second of
// a core.
func (w *world) onChannel(ask func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(w.vhost.URL())
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	return ask(ch)
}

// services is the test binary whose services run: this one, unless a flag says another.
func services(t testing.TB) string {
	t.Helper()
	if *servicesFlag != "" {
		return *servicesFlag
	}
	return self(t)
}

// self is this test binary.
func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// await waits for a condition.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
