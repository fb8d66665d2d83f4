//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trailpost/trailpost/test/authority"
	"github.com/trailpost/trailpost/test/ledger"
)

// TestTLS: a release that runs in the clear is upgraded to TLS on every hop, with given Secrets. Until then every packet
// between its parts can be read on the node; afterwards none, and nobody is answered in the clear.
func TestTLS(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	r := newRelease(n, machine.helm, buildCurrent(t), append(slices.Clip(besideOthers), "postgresql.backup.enabled=true")...)
	r.install(t)
	plain := n.newClient(t, n.openDoor(t))
	n.readHops(t, plain, []string{"8001", "5672", "5432"}, true)

	ca := authority.New(t, "the tests'")
	r = r.with("global.tls.enabled=true")
	for part, names := range map[string][]string{
		"producer":   {"trailpost-producer"},
		"rabbitmq":   {"trailpost-rabbitmq"},
		"postgresql": {"trailpost-postgresql"},
	} {
		n.certify(t, part, ca.Server(t, names...), ca.PEM())
		r = r.with(part + ".tls.existingSecret=" + part + "-tls")
	}
	r.upgrade(t)
	n.authorities = ca.Pool()
	r.test(t)
	secure := n.secureClient(t, plain.URL)
	n.readHops(t, secure, []string{"8001", "5671", "5432"}, false)
	n.compare(t, plain.Ledger) // what was there before

	n.refusesPlaintext(t)
	n.runFrom(t, "trailpost-postgresql-backup", "dump-over-tls")

	// Renewed, by another authority: no pod starts anew.
	before := n.identities(t)
	successor := authority.New(t, "the tests' next")
	n.renews(t, successor, ca)
	n.authorities = successor.Pool()
	n.deleteConnections(t)
	after := n.secureClient(t, plain.URL)
	after.Pour(t.Context(), nil, ledger.Pace{Events: 200, PerSecond: 200, Batch: 10})
	n.compare(t, after.Ledger)
	if now := n.identities(t); now != before {
		t.Errorf("pods have started anew: %s, before: %s", now, before)
	}
}

// certify writes a part's Secret.
func (n *namespace) certify(t *testing.T, part string, pair authority.Pair, ca []byte) {
	t.Helper()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: part + "-tls"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key, "ca.crt": ca},
	}
	secrets := n.CoreV1().Secrets(n.name)
	_, err := secrets.Get(t.Context(), secret.Name, metav1.GetOptions{})
	if err == nil {
		_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	} else {
		_, err = secrets.Create(t.Context(), secret, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tlsConfig is a client's that trusts the namespace's authorities; nil while the release speaks no TLS.
func (n *namespace) tlsConfig(server string) *tls.Config {
	if n.authorities == nil {
		return nil
	}
	return &tls.Config{RootCAs: n.authorities, ServerName: server, MinVersion: tls.VersionTLS12}
}

// secureClient is a client over HTTPS at the door that an HTTP client was given.
func (n *namespace) secureClient(t *testing.T, plainURL string) *ledger.Client {
	t.Helper()
	c := n.newClient(t, "https"+strings.TrimPrefix(plainURL, "http"))
	c.HTTP.Transport.(*http.Transport).TLSClientConfig = n.tlsConfig("trailpost-producer")
	eventually(t, 3*time.Minute, "the producer is ready for clients over HTTPS", func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := c.HTTP.Do(request)
		if err != nil {
			return false, err
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	return c
}

// readHops sends events, with a text in each that no one else sends (the ledger's), and wants every hop to show it, or none.
func (n *namespace) readHops(t *testing.T, c *ledger.Client, ports []string, readable bool) {
	t.Helper()
	// More than one segment's worth, and each alone, so that many are in one piece.
	seen := capture(t, c.Run, ports, func() {
		c.Pour(t.Context(), nil, ledger.Pace{Events: 500, PerSecond: 250, Batch: 1})
		n.compare(t, c.Ledger)
	})
	for _, port := range ports {
		h := seen[port]
		t.Logf("port %s: %d segments, %d bytes, the text in %d", port, h.Segments, h.Bytes, h.Found)
		if (h.Found > 0) != readable {
			t.Errorf("port %s: the text was in %d of %d segments", port, h.Found, h.Segments)
		}
		if h.Segments < 10 {
			t.Errorf("port %s: only %d segments passed: nothing was looked at", port, h.Segments)
		}
	}
}

// refusesPlaintext asks each server in the clear.
func (n *namespace) refusesPlaintext(t *testing.T) {
	t.Helper()
	through := func(pod string, port int) string {
		t.Helper()
		local, stop, err := n.forward(t.Context(), pod, port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(local)))
	}
	if response, err := http.Get("http://" + through(n.podOf(t, "producer"), 8001) + "/livez"); err == nil {
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("the producer answers plain HTTP: %s", response.Status)
		}
	}

	// RabbitMQ: what listens, and what AMQP in the clear is told.
	text, err := n.exec(t.Context(), "trailpost-rabbitmq-0", "rabbitmq", "rabbitmq-diagnostics", "--silent", "--formatter", "json", "listeners")
	if err != nil {
		t.Fatal(err)
	}
	var listeners struct {
		Listeners []struct {
			Protocol string `json:"protocol"`
			Port     int    `json:"port"`
		} `json:"listeners"`
	}
	if err := json.Unmarshal([]byte(text), &listeners); err != nil {
		t.Fatalf("listeners: %v in %s", err, text)
	}
	for _, l := range listeners.Listeners {
		if l.Port == 5672 || l.Port == 15672 || l.Protocol == "amqp" || l.Protocol == "http" {
			t.Errorf("RabbitMQ listens in the clear: %+v", l)
		}
	}
	conn, err := net.Dial("tcp", through("trailpost-rabbitmq-0", 5671))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	answer := make([]byte, 8)
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err == nil {
		size, _ := conn.Read(answer)
		if size > 0 && (answer[0] == 1 || bytes.HasPrefix(answer, []byte("AMQP"))) { // a method's frame, or another version's header
			t.Errorf("RabbitMQ answers AMQP in the clear: %q", answer[:size])
		}
	}

	// PostgreSQL, with the right password.
	trusted := n.authorities
	n.authorities = nil
	err = n.query(t.Context(), t, func(pgx.Rows) error { return nil }, "SELECT 1")
	n.authorities = trusted
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refusal.Code != "28000" || !strings.Contains(refusal.Message, "no encryption") {
		t.Errorf("PostgreSQL in the clear: %v", err)
	}
}

// renews gives every server a new certificate, and waits until each shows it, by itself.
func (n *namespace) renews(t *testing.T, ca, former *authority.Authority) {
	t.Helper()
	trust := append(ca.PEM(), former.PEM()...) // clients and servers don't change in one moment
	serials := map[string]string{}
	for _, part := range []string{"producer", "rabbitmq", "postgresql"} {
		pair := ca.Server(t, "trailpost-"+part)
		n.certify(t, part, pair, trust)
		own, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		serials[part] = own.Leaf.SerialNumber.String()
	}
	// The kubelet writes a changed Secret when it looks after the pod, every minute or so, and at once when the pod changes;
	// it may not have heard of the Secret by then.
	var touched time.Time
	touch := func() {
		if time.Since(touched) < 5*time.Second {
			return
		}
		touched = time.Now()
		change := fmt.Appendf(nil, `{"metadata":{"annotations":{"e2e/touched":%q}}}`, touched.Format(time.RFC3339))
		for _, pod := range n.smallRelease(t) {
			if _, err := n.CoreV1().Pods(n.name).Patch(t.Context(), pod, types.MergePatchType, change, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for part, show := range map[string]func(ctx context.Context, pool *x509.CertPool) (*x509.Certificate, error){
		"producer": func(ctx context.Context, pool *x509.CertPool) (*x509.Certificate, error) {
			return n.shown(ctx, n.podOf(t, "producer"), 8001, "trailpost-producer", pool)
		},
		"rabbitmq": func(ctx context.Context, pool *x509.CertPool) (*x509.Certificate, error) {
			return n.shown(ctx, "trailpost-rabbitmq-0", 5671, "trailpost-rabbitmq", pool)
		},
		"postgresql": func(ctx context.Context, pool *x509.CertPool) (leaf *x509.Certificate, err error) {
			return n.databaseShows(ctx, t, pool)
		},
	} {
		// Erlang looks every two minutes.
		eventually(t, 5*time.Minute, part+" shows its new certificate", func(ctx context.Context) (bool, error) {
			touch()
			leaf, err := show(ctx, ca.Pool())
			return err == nil && leaf.SerialNumber.String() == serials[part], err
		})
	}
}

// shown is the certificate that a port of a pod shows.
func (n *namespace) shown(ctx context.Context, pod string, port int, name string, pool *x509.CertPool) (*x509.Certificate, error) {
	local, stop, err := n.forward(ctx, pod, port)
	if err != nil {
		return nil, err
	}
	defer stop()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(local))))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// databaseShows is the same for PostgreSQL, which begins TLS in its own way.
func (n *namespace) databaseShows(ctx context.Context, t *testing.T, pool *x509.CertPool) (leaf *x509.Certificate, err error) {
	local, stop, err := n.forward(ctx, "trailpost-postgresql-0", 5432)
	if err != nil {
		return nil, err
	}
	defer stop()
	config, err := pgconn.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.Database, config.Fallbacks = "127.0.0.1", local, "code_reviewer_logs", nil
	config.User, config.Password = "trail_reader", n.secret(t, "trailpost-database")["reader-password"]
	config.TLSConfig = &tls.Config{RootCAs: pool, ServerName: "trailpost-postgresql", MinVersion: tls.VersionTLS12,
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf = state.PeerCertificates[0]
			return nil
		}}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return leaf, conn.Close(ctx)
}

// deleteConnections ends all connections with the servers, so that new ones have to verify the new certificates.
func (n *namespace) deleteConnections(t *testing.T) {
	t.Helper()
	if _, err := n.exec(t.Context(), "trailpost-rabbitmq-0", "rabbitmq", "rabbitmqctl", "close_all_connections", "--global", "a test"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.exec(t.Context(), "trailpost-postgresql-0", "postgresql", "psql", "--username=postgres",
		"--command=SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'logging_service_user'"); err != nil {
		t.Fatal(err)
	}
}

// smallRelease are the four pods of one.
func (n *namespace) smallRelease(t *testing.T) []string {
	t.Helper()
	return []string{n.podOf(t, "producer"), n.podOf(t, "consumer"), "trailpost-rabbitmq-0", "trailpost-postgresql-0"}
}

// identities report whether a pod of the release was replaced, or a container of it started again.
func (n *namespace) identities(t *testing.T) string {
	t.Helper()
	var all []string
	for _, pod := range n.smallRelease(t) {
		all = append(all, n.identity(t, pod))
	}
	return fmt.Sprint(all)
}
