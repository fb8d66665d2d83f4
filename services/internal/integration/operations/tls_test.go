package operations

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
	"github.com/trailpost/trailpost/test/authority"
)

// secured are servers that speak TLS alone and take no client without a certificate, and the files
// of their clients.
type secured struct {
	t       *testing.T
	servers *testbed.Servers
	ca      *authority.Authority
	dir     string
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, ca: authority.New(t, "the servers'"), dir: t.TempDir()}
	server, client := s.ca.Server(t, "127.0.0.1"), s.ca.Client(t, "trailpost")
	s.servers = testbed.TLSServers(t, devservers.TLS{
		Certificate: server.Certificate, Key: server.Key, ClientCA: s.ca.PEM(),
		RequireClient: true, ClientCertificate: client.Certificate, ClientKey: client.Key,
	})
	s.write("broker-ca.crt", s.ca.PEM())
	s.write("database-ca.crt", s.ca.PEM())
	s.write("client.crt", client.Certificate)
	s.write("client.key", client.Key)
	s.certify(server)
	return s
}

// certify gives the producer its certificate.
func (s *secured) certify(pair authority.Pair) {
	s.write("tls.key", pair.Key)
	s.write("tls.crt", pair.Certificate)
}

// write replaces a file as a renewal does.
func (s *secured) write(name string, content []byte) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := statedir.WriteFile(name, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// stack is a stack with TLS on all three hops.
func (s *secured) stack(t *testing.T, settings ...string) *pipeline.Pipeline {
	t.Helper()
	file := func(name string) string { return filepath.Join(s.dir, name) }
	return pipeline.On(t, s.servers.Database(t), s.servers.Vhost(t), append([]string{
		"PRODUCER_TLS_CERT_FILE=" + file("tls.crt"), "PRODUCER_TLS_KEY_FILE=" + file("tls.key"),
		"RABBITMQ_TLS=true", "RABBITMQ_CACERTFILE=" + file("broker-ca.crt"),
		"RABBITMQ_CERTFILE=" + file("client.crt"), "RABBITMQ_KEYFILE=" + file("client.key"),
		"DATABASE_SSLMODE=verify-full", "DATABASE_SSLROOTCERT=" + file("database-ca.crt"),
		"DATABASE_SSLCERT=" + file("client.crt"), "DATABASE_SSLKEY=" + file("client.key"),
	}, settings...)...)
}

// without leaves settings out.
func without(environ []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return slices.Contains(names, name)
	})
}

// httpsClient trusts an authority and nobody else.
func httpsClient(t *testing.T, ca *authority.Authority) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 30 * time.Second, Transport: transport}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	t.Run("no hop carries an event's text", s.testCapture)
	t.Run("what is wrong is named", s.testFaults)
	t.Run("migrate", s.testMigrate)
	t.Run("certificates are renewed under load", s.testRenewal)
}

// The same events pass the same relays with TLS and without it: without, the relays read them, or
// the test could see nothing at all.
func (s *secured) testCapture(t *testing.T) {
	for name, c := range map[string]struct {
		scheme string
		client *http.Client
		stack  func(t *testing.T) *pipeline.Pipeline
		plain  bool
	}{
		"plain": {"http", http.DefaultClient, func(t *testing.T) *pipeline.Pipeline { return pipeline.New(t, "DATABASE_SSLMODE=disable") }, true},
		"tls":   {"https", httpsClient(t, s.ca), func(t *testing.T) *pipeline.Pipeline { return s.stack(t) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			st := c.stack(t)
			broker := newTap(t, st.Vhost.Host, st.Vhost.Port)
			database := newTap(t, st.DB.Host, int(st.DB.Port))
			st.Environ = append(st.Environ, "RABBITMQ_PORT="+broker.port(), "DATABASE_PORT="+database.port())
			p, err := producer.New(st.Config(config.ForProducer), st.Log)
			st.Start(p, err)
			st.Consumer()
			door := newTap(t, "127.0.0.1", p.Addr().(*net.TCPAddr).Port)

			const secret = "nobody on the way may read this"
			body := `{"session_id":1,"event_type":"user_action","username":"` + secret + ` name","payload":{"text":"` + secret + `"}}`
			answer, err := c.client.Post(c.scheme+"://127.0.0.1:"+door.port()+"/log", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusAccepted {
				t.Fatalf("%s", answer.Status)
			}
			st.WaitRows(1)
			for hop, relay := range map[string]*tap{"HTTP": door, "AMQP": broker, "PostgreSQL": database} {
				seen, size := relay.saw(secret)
				if seen != c.plain {
					t.Errorf("%s: the event's text was read: %t, of %d bytes", hop, seen, size)
				}
				if size < len(body) {
					t.Errorf("%s: only %d bytes passed", hop, size)
				}
			}
		})
	}
}

// Each mistake is told in words that name the setting to change, and is no reason to end: somebody
// may mend the server.
func (s *secured) testFaults(t *testing.T) {
	st := s.stack(t)
	other := authority.New(t, "somebody else's")
	stranger := other.Client(t, "stranger")
	otherCA := s.write("other-ca.crt", other.PEM())
	strangerCert, strangerKey := s.write("stranger.crt", stranger.Certificate), s.write("stranger.key", stranger.Key)
	plain := pipeline.New(t)
	brokerTLS := []string{"RABBITMQ_TLS", "RABBITMQ_CACERTFILE", "RABBITMQ_CERTFILE", "RABBITMQ_KEYFILE"}
	databaseTLS := []string{"DATABASE_SSLMODE", "DATABASE_SSLROOTCERT", "DATABASE_SSLCERT", "DATABASE_SSLKEY"}
	for name, c := range map[string]struct {
		broker bool // or else the database
		leave  []string
		set    []string
		names  string
	}{
		"broker: another authority":        {true, nil, []string{"RABBITMQ_CACERTFILE=" + otherCA}, "no authority in RABBITMQ_CACERTFILE"},
		"broker: another name":             {true, nil, []string{"RABBITMQ_SERVER_NAME=broker.example"}, "or RABBITMQ_SERVER_NAME, to a name in the broker's certificate"},
		"broker: no TLS here":              {true, brokerTLS, nil, "set RABBITMQ_TLS=true"},
		"broker: no TLS there":             {true, nil, []string{"RABBITMQ_PORT=" + strconv.Itoa(plain.Vhost.Port)}, "is RABBITMQ_PORT right?"},
		"broker: no client certificate":    {true, brokerTLS[2:], nil, "RABBITMQ_CERTFILE"},
		"broker: a stranger's certificate": {true, nil, []string{"RABBITMQ_CERTFILE=" + strangerCert, "RABBITMQ_KEYFILE=" + strangerKey}, "RABBITMQ_CERTFILE"},

		"database: another authority":        {false, nil, []string{"DATABASE_SSLROOTCERT=" + otherCA}, "no authority in DATABASE_SSLROOTCERT"},
		"database: another name":             {false, nil, []string{"DATABASE_HOST=localhost"}, "wants DATABASE_HOST to be a name in the server's certificate"},
		"database: no TLS here":              {false, databaseTLS, []string{"DATABASE_SSLMODE=disable"}, "ask for TLS (DATABASE_SSLMODE)"},
		"database: no TLS there":             {false, nil, []string{"DATABASE_PORT=" + strconv.Itoa(int(plain.DB.Port))}, "DATABASE_SSLMODE insists on it"},
		"database: no client certificate":    {false, databaseTLS[2:], nil, "client certificate (DATABASE_SSLCERT"},
		"database: a stranger's certificate": {false, nil, []string{"DATABASE_SSLCERT=" + strangerCert, "DATABASE_SSLKEY=" + strangerKey}, "client certificate (DATABASE_SSLCERT"},
	} {
		roles := []string{"consumer"}
		if c.broker {
			roles = append(roles, "producer")
		}
		for _, role := range roles {
			t.Run(name+": "+role, func(t *testing.T) {
				one := *st
				one.T, one.Environ = t, append(without(st.Environ, c.leave...), c.set...)
				p := one.Spawn(role)
				if role == "producer" {
					p.URL = "https" + strings.TrimPrefix(p.URL, "http")
				}
				pipeline.Eventually(t, c.names+" is named", func() bool { return strings.Contains(p.Log.String(), c.names) })
				if p.Ready() {
					t.Error("it says that it is ready")
				}
				p.Terminate()
			})
		}
	}
}

func (s *secured) testMigrate(t *testing.T) {
	st := s.stack(t)
	st.Environ = append(st.Environ, "MIGRATE_DATABASE_USER="+st.DB.Owner.Name, "MIGRATE_DATABASE_PASSWORD="+st.DB.Owner.Password)
	if code, output := st.Command("migrate", []string{"up"}); code != 0 {
		t.Errorf("migrate up: exit code %d: %s", code, output)
	}
	otherCA := s.write("other-ca.crt", authority.New(t, "somebody else's").PEM())
	for _, args := range [][]string{{"up", "--wait=1m"}, {"version"}} {
		code, output := st.Command("migrate", args, "DATABASE_SSLROOTCERT="+otherCA)
		if code != 1 || !strings.Contains(output, "no authority in DATABASE_SSLROOTCERT") {
			t.Errorf("migrate %v, by another authority: exit code %d: %s", args, code, output)
		}
	}
}

// While events come in, the servers' certificates expire, and are renewed by another authority.
// What no file can mend is waited for; what a file can is fixed by the file alone, with the
// processes running on.
func (s *secured) testRenewal(t *testing.T) {
	st := s.stack(t, "CONSUMER_RETRY_DELAY=100ms")
	log := st.Logged()
	p, err := producer.New(st.Config(config.ForProducer), st.Log)
	st.Start(p, err)
	c, err := app.NewConsumer(st.Config(config.ForConsumer), st.Log)
	st.Start(c, err)
	url := "https://" + p.Addr().String() + "/log"
	client := httpsClient(t, s.ca)
	sent := 0
	// send tries an event, with one id for all attempts, until want is the answer.
	send := func(want int) (again func(want int)) {
		sent++
		body := fmt.Sprintf(`{"session_id":1,"event_type":"user_action","event_id":%q,"payload":{"n":%d}}`, uuid.Must(uuid.NewV7()), sent)
		again = func(want int) {
			t.Helper()
			var last string
			defer func() {
				if t.Failed() {
					t.Log(last)
				}
			}()
			pipeline.Eventually(t, fmt.Sprintf("the answer is %d", want), func() bool {
				answer, err := client.Post(url, "application/json", strings.NewReader(body))
				if err != nil {
					last = err.Error()
					return false
				}
				defer answer.Body.Close()
				text, _ := io.ReadAll(answer.Body)
				last = answer.Status + " " + string(text)
				return answer.StatusCode == want
			})
		}
		again(want)
		return again
	}
	send(202)
	st.WaitRows(1)

	logged := func(text string) {
		t.Helper()
		pipeline.Eventually(t, fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(log.String(), text) })
	}
	// The database's. RabbitMQ shows the same certificates, but its connections are open, and stay.
	successor := authority.New(t, "the successor's")
	s.recertify(st, s.ca.Expired(t, "127.0.0.1"))
	s.cutDatabase(st)
	send(202)
	logged("the server's certificate, or one in DATABASE_SSLROOTCERT, must be renewed")
	s.recertify(st, successor.Server(t, "127.0.0.1"))
	logged("no authority in DATABASE_SSLROOTCERT")
	s.write("database-ca.crt", successor.PEM())
	st.WaitRows(sent)

	// The broker's. Now it is the database whose connections stay.
	s.recertify(st, successor.Expired(t, "127.0.0.1"))
	s.cutBroker()
	again := send(503)
	logged("the broker's certificate, or one in RABBITMQ_CACERTFILE, must be renewed")
	s.recertify(st, successor.Server(t, "127.0.0.1"))
	logged("no authority in RABBITMQ_CACERTFILE")
	s.write("broker-ca.crt", successor.PEM())
	again(202)
	pipeline.Eventually(t, "both are ready", func() bool { return p.Ready() == nil && c.Ready() == nil })
	st.WaitRows(sent)

	// The producer's own.
	s.certify(successor.Server(t, "127.0.0.1"))
	former := client
	client = httpsClient(t, successor) // it makes a connection of its own
	send(202)
	former.CloseIdleConnections()
	if answer, err := former.Get(url); err == nil {
		answer.Body.Close()
		t.Error("who trusts the former authority alone still takes the producer's certificate")
	}
	st.WaitRows(sent)
	if letters := st.Letters(); len(letters) > 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}

// recertify returns when both servers show the certificate.
func (s *secured) recertify(st *pipeline.Pipeline, pair authority.Pair) {
	s.t.Helper()
	if err := s.servers.Recertify(context.Background(), pair.Certificate, pair.Key); err != nil {
		s.t.Fatal(err)
	}
	want, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, shown := range map[string]func(st *pipeline.Pipeline) []byte{"PostgreSQL": s.databaseShows, "RabbitMQ": s.brokerShows} {
		pipeline.Eventually(s.t, name+" shows its new certificate", func() bool { return bytes.Equal(shown(st), want.Certificate[0]) })
	}
}

func (s *secured) databaseShows(st *pipeline.Pipeline) (leaf []byte) {
	cc := st.DB.ConnConfig(st.DB.Admin)
	cc.TLSConfig.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		leaf = raw[0]
		return nil
	}
	if conn, err := pgx.ConnectConfig(context.Background(), cc); err == nil {
		_ = conn.Close(context.Background())
	}
	return leaf
}

func (s *secured) brokerShows(st *pipeline.Pipeline) (leaf []byte) {
	look := &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error { // it is looked at, not trusted
		leaf = raw[0]
		return nil
	}}
	conn, err := tls.Dial("tcp", net.JoinHostPort(st.Vhost.Host, strconv.Itoa(st.Vhost.Port)), look)
	if err == nil {
		_ = conn.Close()
	}
	return leaf
}

func (s *secured) cutDatabase(st *pipeline.Pipeline) {
	s.t.Helper()
	err := s.servers.Postgres.Exec(context.Background(), "postgres",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename = $2", st.DB.Name, st.DB.Writer.Name)
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *secured) cutBroker() {
	s.t.Helper()
	if _, err := s.servers.Rabbit.Ctl(context.Background(), "close_all_connections", "--global", "a test"); err != nil {
		s.t.Fatal(err)
	}
}
