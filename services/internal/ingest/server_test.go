package ingest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gate is a publisher's failure function that holds requests until it is opened.
type gate struct{ entered, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 100), make(chan struct{})} }

func (g gate) hold(ctx context.Context) error {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// raw sends bytes as they are and returns the answer.
func raw(t *testing.T, s *service, request string) *http.Response {
	t.Helper()
	conn := dial(t, s)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return readResponse(t, conn)
}

func dial(t *testing.T, s *service) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func readResponse(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	return res
}

// quick makes bodies time out fast.
func quick(o *options) {
	o.config.ReadTimeout = 50 * time.Millisecond
}

func TestBrokenBodies(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p, quick)
	const head = "POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"too slow":              {head + "Content-Length: 100\r\n\r\n{", 408},
		"too slow, of no size":  {head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 408},
		"bad chunk":             {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		"announced too large":   {head + "Content-Length: 262145\r\nExpect: 100-continue\r\n\r\n", 413},
		"negative length":       {head + "Content-Length: -1\r\n\r\n", 400},
		"two lengths":           {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400},
		"unknown coding":        {head + "Transfer-Encoding: gzip\r\n\r\n", 501},
		"headers without end":   {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 431},
		"unfinished expectance": {head + "Content-Length: 2\r\nExpect: miracles\r\n\r\n{}", 417},
	} {
		t.Run(name, func(t *testing.T) {
			res := raw(t, s, c.request) //nolint:bodyclose // readResponse has read it all
			if res.StatusCode != c.status {
				body, _ := io.ReadAll(res.Body)
				t.Errorf("status %d, want %d: %s", res.StatusCode, c.status, body)
			}
			if res.Header.Get("Content-Type") == problemType && !res.Close {
				t.Error("the connection stays open with half a body in it")
			}
		})
	}
	if n := len(p.published()); n > 0 {
		t.Errorf("published %d", n)
	}
	if used := s.budgetUsed(t); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
}

// A large body that comes at an honest pace outlasts the ReadTimeout.
func TestLargeBodyGetsMoreTime(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p, quick)
	lines := strings.Repeat(`{"session_id":1,"event_type":"user_action","payload":{"text":"`+strings.Repeat("x", 1000)+"\"}}\n", 500)
	reader, writer := io.Pipe()
	go func() {
		for lines != "" {
			n := min(64<<10, len(lines))
			if _, err := io.WriteString(writer, lines[:n]); err != nil {
				return
			}
			lines = lines[n:]
			time.Sleep(20 * time.Millisecond) // the pace is what is tested
		}
		writer.Close()
	}()
	got := s.send(t, http.MethodPost, "/log/batch", reader, "Content-Type", "application/x-ndjson")
	if got.status != http.StatusAccepted || len(p.published()) != 500 {
		t.Errorf("%d %.200s, published %d", got.status, got.body, len(p.published()))
	}
}

// net/http's deadline for reading must not end a request whose body is here.
func TestConfirmMayTakeLongerThanReading(t *testing.T) {
	g := newGate()
	s := start(t, &testPublisher{fail: g.hold}, quick)
	time.AfterFunc(200*time.Millisecond, func() { close(g.open) })
	if got := s.post(t, "/log", good); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestBudget(t *testing.T) {
	const limit = 512 << 10
	g := newGate()
	s := start(t, &testPublisher{fail: g.hold}, func(o *options) { o.config.MemoryBudget = limit })

	// Fill it with requests that wait for their confirm.
	body := good + strings.Repeat(" ", 200<<10)
	statuses := make(chan int, 2)
	for range 2 {
		go func() { statuses <- s.post(t, "/log", body).status }()
		<-g.entered
	}
	used := s.budgetUsed(t)
	if used < 400<<10 || used > limit {
		t.Errorf("%d bytes are charged", used)
	}
	if got := s.post(t, "/log", body); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "problem:busy") {
		t.Errorf("over the budget: %d %s", got.status, got.body)
	}
	if got := s.post(t, "/log/batch", "["+good+"]"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "problem:busy") {
		t.Errorf("a batch beyond its share: %d %s", got.status, got.body)
	}
	go func() { statuses <- s.post(t, "/log", good).status }()
	<-g.entered // a small event still has room
	close(g.open)
	for range 3 {
		if status := <-statuses; status != http.StatusAccepted {
			t.Errorf("status %d", status)
		}
	}
	if used := s.budgetUsed(t); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
}

// Clients that announce much and send nothing hold little: a budget of 1 MiB has room for
// a hundred of them, and others.
func TestAnnouncedBytesAreNotCharged(t *testing.T) {
	const clients = 100
	s := start(t, new(testPublisher), func(o *options) { o.config.MemoryBudget = 1 << 20 })
	for range clients {
		conn := dial(t, s)
		if _, err := io.WriteString(conn, "POST /log/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n["); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return s.budgetUsed(t) == clients*firstRead })
	if got := s.post(t, "/log", good); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestClientThatGoesAway(t *testing.T) {
	g := newGate()
	s := start(t, &testPublisher{fail: g.hold})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/log", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := s.client.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	<-g.entered
	cancel()
	<-done
	waitFor(t, func() bool {
		return strings.Contains(s.do(t, http.MethodGet, "/metrics", "").body, `trailpost_events_rejected_total{reason="client-gone"} 1`+"\n")
	})
}

func TestShutdownWaitsForConfirms(t *testing.T) {
	g := newGate()
	s := start(t, &testPublisher{fail: g.hold})
	status := make(chan int, 1)
	go func() { status <- s.post(t, "/log", good).status }()
	<-g.entered

	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped (%v) with a request in hand", err)
	default:
	}
	close(g.open)
	if got := <-status; got != http.StatusAccepted {
		t.Errorf("status %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownEndsInTime(t *testing.T) {
	g := newGate()
	s := start(t, &testPublisher{fail: g.hold})
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		if res, err := s.client.Post(s.url+"/log", "", strings.NewReader(good)); err == nil {
			res.Body.Close()
			t.Error("answered")
		}
	}()
	<-g.entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("no error")
	}
	<-failed
}

func TestAddressInUse(t *testing.T) {
	s := start(t, new(testPublisher))
	if _, err := NewServer(Config{Addr: s.Addr().String(), Log: slog.Default()}); err == nil {
		t.Error("two servers on one port")
	}
}

// writeCertificate makes a self-signed pair for localhost.
func writeCertificate(t *testing.T, serial int64, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, 1, certFile, keyFile)
	s := start(t, new(testPublisher), func(o *options) { o.config.CertFile, o.config.KeyFile = certFile, keyFile })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Post("https://"+s.Addr().String()+"/log", "application/json", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusAccepted || res.ProtoMajor != 2 {
		t.Errorf("%d over %s", res.StatusCode, res.Proto)
	}

	if _, err := NewServer(Config{Addr: "127.0.0.1:0", CertFile: keyFile, KeyFile: certFile, Log: slog.Default()}); err == nil {
		t.Error("a key was taken for a certificate")
	}
}
