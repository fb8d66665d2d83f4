package ingest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// urllib posts, each with all of its body before it reads, and prints a line for each:
// the status and the problem's type, or what went wrong.
const urllib = `
import json, ssl, sys, urllib.error, urllib.request
for r in json.load(sys.stdin):
    headers = {"Content-Type": "application/json", **(r["Headers"] or {})}
    body = b" " * r["Size"]
    if r["Chunked"]:
        body = iter([body[i:i + 65536] for i in range(0, len(body), 65536)])
    request = urllib.request.Request(r["URL"], body, headers, method=r["Method"])
    try:
        with urllib.request.urlopen(request, timeout=60, context=ssl._create_unverified_context() if r["URL"].startswith("https") else None) as answer:
            print(answer.status)
    except urllib.error.HTTPError as error:
        with error: # or the connection stays open, and lingers
            print(error.code, json.load(error)["type"].rpartition(":")[2])
    except OSError as error:
        print(repr(error))
`

type urllibRequest struct {
	what    string
	URL     string
	Method  string
	Size    int
	Chunked bool
	Headers map[string]string
	want    string
}

// patient is for a busy machine, where clients take their time, and so does the end of each connection.
func patient(o *options) {
	o.config.Linger = linger.Defaults
	o.config.Linger.Time, o.config.Linger.PerClient = time.Minute, 64
}

// A refusal is read, however large what was refused: by Python's urllib, which sends all
// before it reads.
func TestRefusalsAreRead(t *testing.T) {
	plain := start(t, new(testPublisher), patient)
	keys := start(t, new(testPublisher), patient, func(o *options) { o.config.Keys = keysOf(nil) })
	slow := start(t, new(testPublisher), patient, func(o *options) { o.config.RateLimit, o.config.RateBurst = 1, 1 })
	busy := start(t, new(testPublisher), patient, func(o *options) { o.config.MemoryBudget = 64 << 10 })
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, 1, certFile, keyFile)
	secure := start(t, new(testPublisher), patient, func(o *options) { o.config.CertFile, o.config.KeyFile = certFile, keyFile })
	secureURL := "https://" + secure.Addr().String()
	slow.post(t, "/log/batch", "["+strings.Repeat(good+",", 999)+good+"]") // a quarter of an hour's

	const mega = 1_000_000
	requests := []urllibRequest{
		{"an event that is too large", plain.url + "/log", "POST", 3 * mega, false, nil, "413 too-large"},
		{"one by a little", plain.url + "/log", "POST", 262_145, false, nil, "413 too-large"},
		{"in chunks", plain.url + "/log", "POST", 3 * mega, true, nil, "413 too-large"},
		{"a batch that is too large", plain.url + "/log/batch", "POST", 17 << 20, false, nil, "413 too-large"},
		{"without a key", keys.url + "/log", "POST", 5 * mega, false, nil, "401 unauthorized"},
		{"without a key, in chunks", keys.url + "/log/batch", "POST", 5 * mega, true, nil, "401 unauthorized"},
		{"without a key, small", keys.url + "/log", "POST", 200_000, false, nil, "401 unauthorized"},
		{"too many", slow.url + "/log/batch", "POST", 5 * mega, false, nil, "429 rate-limited"},
		{"another type", plain.url + "/log/batch", "POST", 5 * mega, false, map[string]string{"Content-Type": "text/csv"}, "415 unsupported-media-type"},
		{"over the budget", busy.url + "/log/batch", "POST", 5 * mega, false, nil, "503 busy"},
		{"nowhere", plain.url + "/logs", "POST", 5 * mega, false, nil, "404 not-found"},
		{"another method", plain.url + "/log", "PUT", 5 * mega, false, nil, "405 method-not-allowed"},
		{"a GET with a body", plain.url + "/livez", "GET", 5 * mega, false, nil, "200"},
		{"TLS", secureURL + "/log", "POST", 3 * mega, false, nil, "413 too-large"},
		{"TLS, in chunks", secureURL + "/log/batch", "POST", 20 * mega, true, nil, "413 too-large"},
	}
	input, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", urllib)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(answers) != len(requests) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, r := range requests {
		if answers[i] != r.want {
			t.Errorf("%s: %s, want %s", r.what, answers[i], r.want)
		}
	}
	for what, s := range map[string]*service{"plain": plain, "keys": keys, "rates": slow, "budget": busy, "TLS": secure} {
		waitFor(t, func() bool { return s.listener.Lingering() == 0 })
		for _, o := range []linger.Outcome{linger.Cut, linger.Refused} {
			if n := testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(o))); n != 0 {
				t.Errorf("%s: %v connections were %s", what, n, o)
			}
		}
		if n := testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(linger.Read))); n == 0 {
			t.Errorf("%s: no connection lingered", what)
		}
		if used := s.budgetUsed(t); used != 0 {
			t.Errorf("%s: %d bytes stay charged", what, used)
		}
	}
}

// sendAll writes all that a client has to say, and only then reads the answer's status; "" if there is none.
func sendAll(t *testing.T, conn net.Conn, request string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return err.Error()
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	res.Body.Close()
	return res.Status[:3]
}

// What net/http refuses by itself is read, too.
func TestRefusalsOfTheServerAreRead(t *testing.T) {
	s := start(t, new(testPublisher), patient)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, 1, certFile, keyFile)
	secure := start(t, new(testPublisher), patient, func(o *options) { o.config.CertFile, o.config.KeyFile = certFile, keyFile })
	body := strings.Repeat(" ", 8_000_000) // more than the sockets' buffers
	for _, c := range []struct {
		what    string
		server  *service
		request string
		want    string
	}{
		{"a bad length", s, "POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n" + body, "400"},
		{"an unknown coding", s, "POST /log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n" + body, "501"},
		{"an unknown version", s, "POST /log HTTP/3.0\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + body, "505"},
		{"an expectation", s, "POST /log HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 8000000\r\n\r\n" + body, "417"},
		{"large headers", s, "POST /log HTTP/1.1\r\nHost: x\r\nX: " + body + "\r\n\r\n", "431"},
		{"a client that doesn't wait for 100", s, "POST /log HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8000000\r\n\r\n" + body, "413"},
		{"no TLS", secure, "POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + body, "400"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := sendAll(t, dial(t, c.server), c.request); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// HTTP/2 answers a stream and resets it with NO_ERROR; the connection goes on.
func TestRefusalsAreReadOverHTTP2(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, 1, certFile, keyFile)
	s := start(t, new(testPublisher), func(o *options) { o.config.CertFile, o.config.KeyFile = certFile, keyFile })
	var connections sync.Map
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}).DialContext(ctx, network, address)
			connections.Store(conn, nil)
			return conn, err
		},
	}}
	defer client.CloseIdleConnections()
	for range 5 {
		res, err := client.Post("https://"+s.Addr().String()+"/log", "application/json", strings.NewReader(strings.Repeat(" ", 5_000_000)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || res.ProtoMajor != 2 {
			t.Errorf("%s %s, %v: %s", res.Proto, res.Status, err, body)
		}
	}
	n := 0
	connections.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Whoever waits for 100 Continue is refused without it, and is not waited for.
func TestRefusalInsteadOfContinue(t *testing.T) {
	s := start(t, new(testPublisher), patient)
	conn := dial(t, s)
	if _, err := io.WriteString(conn, "POST /log HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 413 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if rest, err := io.ReadAll(reader); err != nil || !strings.Contains(string(rest), "Connection: close\r\n") {
		t.Errorf("%v\n%s", err, rest)
	}
	conn.Close()
	waitFor(t, func() bool { return s.listener.Lingering() == 0 })
}

// dialFrom dials from another address of this machine.
func dialFrom(t *testing.T, s *service, address string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := dialer.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A refused body that dribbles is not waited for longer than the limit.
func TestRefusedBodiesThatDribble(t *testing.T) {
	t.Parallel()
	s := start(t, new(testPublisher), func(o *options) { o.config.Keys = keysOf(nil) })
	var running sync.WaitGroup
	for i, headers := range []string{"Content-Length: 5000000", "Content-Length: 200000", "Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 5000000"} {
		conn := dialFrom(t, s, fmt.Sprintf("127.0.1.%d", i+1))
		running.Go(func() {
			began := time.Now()
			var answered, ended time.Duration
			read := make(chan string, 1)
			go func() {
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					read <- err.Error()
					return
				}
				res.Body.Close()
				answered = time.Since(began)
				read <- res.Status[:3]
			}()
			if _, err := io.WriteString(conn, "POST /log HTTP/1.1\r\nHost: x\r\n"+headers+"\r\n\r\n"); err != nil {
				t.Error(err)
			}
			for ended == 0 {
				if _, err := io.WriteString(conn, "1\r\n \r\n"); err != nil {
					ended = time.Since(began)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if status := <-read; status != "401" || answered > 4*time.Second {
				t.Errorf("%s: %s after %s", headers, status, answered)
			}
			if ended < linger.Defaults.Time || ended > 3*linger.Defaults.Time {
				t.Errorf("%s: ended after %s", headers, ended)
			}
		})
	}
	running.Wait()
	if n := testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(linger.Cut))); n != 4 {
		t.Errorf("%v connections were cut", n)
	}
}

// Behind a trusted proxy clients count by their own addresses, and without one, by the connection's.
func TestWhoLingersCountsByTheClient(t *testing.T) {
	const head = "POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n"
	for _, c := range []struct {
		trusted []netip.Prefix
		want    int
	}{{nil, 2}, {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 5}} {
		s := start(t, new(testPublisher), patient, func(o *options) {
			o.config.TrustedProxies, o.config.Linger.PerClient = c.trusted, 2
		})
		for i := range 5 {
			conn := dial(t, s)
			if _, err := io.WriteString(conn, head+fmt.Sprintf("X-Forwarded-For: 192.0.2.%d\r\n\r\n", i)); err != nil {
				t.Fatal(err)
			}
			readResponse(t, conn) //nolint:bodyclose // it has read it all
		}
		waitFor(t, func() bool {
			return s.listener.Lingering() == c.want && int(testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(linger.Refused)))) == 5-c.want
		})
	}
}

// A server that shuts down has other things to wait for.
func TestShutdownDoesNotWaitForTheRefused(t *testing.T) {
	s := start(t, new(testPublisher), patient)
	conn := dial(t, s)
	if _, err := io.WriteString(conn, "POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	readResponse(t, conn) //nolint:bodyclose // it has read it all
	waitFor(t, func() bool { return s.listener.Lingering() == 1 })
	began := time.Now()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if n := s.listener.Lingering(); n != 0 {
		t.Errorf("%d linger", n)
	}
}

// A connection goes on after a refusal whose small body came with it, and closes at once
// when it is closed later.
func TestConnectionGoesOnAfterASmallRefusal(t *testing.T) {
	s := start(t, new(testPublisher), func(o *options) { o.config.Keys = keysOf(nil) })
	answers, _ := exchange(t, s, at("/log")+at("/nowhere")+request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding: chunked", chunked(good))+probe)
	if answers != "401 404 401 200" {
		t.Errorf("answers %q", answers)
	}
	for _, o := range []linger.Outcome{linger.Read, linger.Cut, linger.Refused} {
		if n := testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(o))); n != 0 {
			t.Errorf("%v connections were %s", n, o)
		}
	}
}
