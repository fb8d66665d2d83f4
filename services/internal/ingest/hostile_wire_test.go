package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/test/golden"
)

// wire is bytes that a client sends as they are, and the statuses of all answers that
// come back until the server closes the connection. After them goes a request of its
// own, whose answer is the last 200: where that is missing, the connection was closed,
// as it must be when the server can't know where a request ends. An answer too many
// would be a request that was smuggled in.
type wire struct {
	what, bytes string
	answers     string
}

// probe closes the connection in good order.
const probe = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// request writes one; lines are separated by a line break, and the body's length is
// added unless the headers have one.
func request(line, headers, body string) string {
	var b strings.Builder
	b.WriteString(line + "\r\n")
	for h := range strings.SplitSeq(headers, "\n") {
		if h != "" {
			b.WriteString(h + "\r\n")
		}
	}
	lower := strings.ToLower(headers)
	if body != "" && !strings.Contains(lower, "content-length:") && !strings.Contains(lower, "transfer-encoding") {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	return b.String() + "\r\n" + body
}

// posted is a good event under other headers.
func posted(headers string) string {
	return request("POST /log HTTP/1.1", "Host: x\n"+headers, good)
}

// at is a good event at another path.
func at(target string) string { return request("POST "+target+" HTTP/1.1", "Host: x", good) }

func chunked(body string) string {
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
}

func hostileWire() []wire {
	inner := request("POST /log HTTP/1.1", "Host: x", good)
	const te = "Transfer-Encoding: chunked"
	return []wire{
		// Request lines.
		{"HTTP/0.9", "GET /\r\n", "400"},
		{"HTTP/1.0", request("POST /log HTTP/1.0", "Host: x", good), "202"},
		{"HTTP/1.0, without Host", request("POST /log HTTP/1.0", "", good), "202"},
		{"HTTP/1.0, kept alive", request("POST /log HTTP/1.0", "Connection: keep-alive", good), "202 200"},
		{"HTTP/1.2", request("POST /log HTTP/1.2", "Host: x", good), "202 200"},
		{"HTTP/2.0 without its preface", request("POST /log HTTP/2.0", "Host: x", good), "505"},
		{"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		{"HTTP/9.9", request("GET / HTTP/9.9", "Host: x", ""), "505"},
		{"a version in small letters", request("GET / http/1.1", "Host: x", ""), "400"},
		{"no version", request("GET /", "Host: x", ""), "400"},
		{"no method", request(" /log HTTP/1.1", "Host: x", ""), "400"},
		{"a method in small letters", request("post /log HTTP/1.1", "Host: x", good), "405 200"},
		{"a method of 10,000 letters", request(strings.Repeat("A", 10_000)+" /log HTTP/1.1", "Host: x", ""), "405 200"},
		{"a method with a slash", request("GE/T /log HTTP/1.1", "Host: x", ""), "400"},
		{"TRACE with a cookie", request("TRACE / HTTP/1.1", "Host: x\nCookie: secret=1", ""), "405 200"},
		{"OPTIONS", request("OPTIONS /log HTTP/1.1", "Host: x", ""), "405 200"},
		{"CONNECT", request("CONNECT internal.example:5672 HTTP/1.1", "Host: internal.example:5672", ""), "404 200"},
		{"two spaces", request("GET  / HTTP/1.1", "Host: x", ""), "400"},
		{"a tab", request("GET\t/\tHTTP/1.1", "Host: x", ""), "400"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", "400"},
		{"SMTP", "EHLO example.org\r\n", "400"},
		{"AMQP", "AMQP\x00\x00\x09\x01\r\n", "400"},
		{"a line break first", "\r\n" + posted(""), "400"},

		// Paths.
		{"an absolute form", at("http://x/log"), "202 200"},
		{"an absolute form of another host", at("http://169.254.169.254/log"), "202 200"},
		{"an absolute form of a file", at("file:///log"), "202 200"},
		{"a percent-encoded letter", at("/%6cog"), "404 200"},
		{"a path in Unicode", at("/log\u00e9"), "404 200"},
		{"a dot", at("/./log"), "404 200"},
		{"two dots", at("/docs/../log"), "404 200"},
		{"two encoded dots", at("/docs/%2e%2e/log"), "404 200"},
		{"an encoded slash", at("/log%2fbatch"), "404 200"},
		{"a parameter", at("/log;v=1"), "404 200"},
		{"a NUL byte", at("/log%00"), "404 200"},
		{"line breaks", at("/log%0d%0aX-Evil:%201"), "404 200"},
		{"a broken escape", at("/log%zz"), "400"},
		{"a broken escape in the query", at("/log?%zz"), "202 200"},
		{"a backslash", at(`/docs\..\log`), "404 200"},
		{"an asterisk", request("GET * HTTP/1.1", "Host: x", ""), "404 200"},
		{"no slash", at("log"), "400"},
		{"a path of 10,000 bytes", at("/" + strings.Repeat("a/", 5_000)), "404 200"},
		{"a path beyond the limit", at("/" + strings.Repeat("a", 40_000)), "431"},
		{"out of the page", request("GET /docs/../../../../etc/passwd HTTP/1.1", "Host: x", ""), "404 200"},
		{"a slash after a page's part", request("GET /docs/init.js/ HTTP/1.1", "Host: x", ""), "404 200"},

		// Hosts.
		{"no host", request("GET / HTTP/1.1", "", ""), "400"},
		{"two hosts", request("GET / HTTP/1.1", "Host: x\nHost: y", ""), "400"},
		{"an empty host", request("GET / HTTP/1.1", "Host:", ""), "200 200"},
		{"a host with a path", request("GET / HTTP/1.1", "Host: x/../y", ""), "400"},
		{"a host with markup", request("GET / HTTP/1.1", "Host: <script>", ""), "400"},

		// Headers.
		{"a header without a colon", request("GET / HTTP/1.1", "Host: x\nEvil", ""), "400"},
		{"a header without a name", request("GET / HTTP/1.1", "Host: x\n: evil", ""), "400"},
		{"a space before the colon", posted("Content-Length : 5"), "400"},
		{"a folded header", "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", "200 200"},
		{"a NUL byte in a header", request("GET / HTTP/1.1", "Host: x\nX: a\x00b", ""), "400"},
		{"a carriage return in a header", "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", "400"},
		{"a header of 40,000 bytes", request("GET / HTTP/1.1", "Host: x\nX: "+strings.Repeat("a", 40_000), ""), "431"},
		{"3,000 headers", request("GET / HTTP/1.1", "Host: x\n"+strings.Repeat("X: aaa\n", 5_000), ""), "431"},
		{"Expect of something", posted("Expect: 200-maybe"), "417"},
		{"an upgrade", posted("Connection: Upgrade\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__"), "202 200"},
		{"a WebSocket", request("GET / HTTP/1.1", "Host: x\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13", ""), "200 200"},
		{"a bad traceparent", posted("Traceparent: 00-zz-zz-01"), "202 200"},
		{"two traceparents", posted("Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nTraceparent: 00-0-0-0"), "202 200"},
		{"a traceparent of 10,000 bytes", posted("Traceparent: " + strings.Repeat("0", 10_000)), "202 200"},
		{"another method by header", posted("X-HTTP-Method-Override: DELETE"), "202 200"},
		{"another path by header", request("POST /nowhere HTTP/1.1", "Host: x\nX-Original-URL: /log\nX-Rewrite-URL: /log", good), "404 200"},
		{"a range", request("GET /openapi.json HTTP/1.1", "Host: x\nRange: bytes=0-0,0-0,0-0\nIf-None-Match: *", ""), "200 200"},

		// Content types and encodings.
		{"no content type", posted(""), "202 200"},
		{"the same content type twice", posted("Content-Type: application/json\nContent-Type: application/json"), "415 200"},
		{"two in one", posted("Content-Type: application/json, text/plain"), "415 200"},
		{"a content type of 10,000 bytes", posted("Content-Type: application/json; a=" + strings.Repeat("b", 10_000)), "202 200"},
		{"two charsets", posted("Content-Type: application/json; charset=utf-8; charset=utf-16"), "415 200"},
		{"UTF-16", posted("Content-Type: application/json; charset=utf-16"), "415 200"},
		{"multipart", posted("Content-Type: multipart/form-data; boundary=x"), "415 200"},
		{"JSON of another kind", posted("Content-Type: application/ld+json"), "415 200"},
		{"a gzip bomb's head", posted("Content-Encoding: gzip"), "415 200"},
		{"deflate", posted("Content-Encoding: deflate"), "415 200"},
		{"brotli and identity", posted("Content-Encoding: br, identity"), "415 200"},
		{"zstd", posted("Content-Encoding: zstd"), "415 200"},
		{"an encoding that nobody knows", posted("Content-Encoding: x-evil"), "415 200"},

		// Lengths.
		{"no length", request("POST /log HTTP/1.1", "Host: x", ""), "400 200"},
		{"a length of 0 with a body", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 0", good), "400 400"},
		{"a length that is short", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 5", good), "400 400"},
		{"a length with a sign", request("POST /log HTTP/1.1", "Host: x\nContent-Length: +43", good), "400"},
		{"a length in hexadecimal", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 0x2b", good), "400"},
		{"a length with a space", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 4 3", good), "400"},
		{"a length of a list", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 43, 43", good), "400"},
		{"a length beyond 64 bits", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 99999999999999999999", good), "400"},
		{"two lengths", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 43\nContent-Length: 0", good), "400"},
		{"two equal lengths", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 43\nContent-Length: 43", good), "202 200"},
		{"a byte over the limit", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 262145", ""), "413"},
		{"9 exabytes", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 9223372036854775807", ""), "413"},
		{"9 exabytes for a path that isn't there", request("POST /nowhere HTTP/1.1", "Host: x\nContent-Length: 9223372036854775807", ""), "404"},
		{"a GET with a body", request("GET /livez HTTP/1.1", "Host: x", inner), "200 200"},

		// Chunks.
		// net/http goes by the chunks (RFC 9112, 6.3), as every proxy must, and hides the length.
		{"chunks and a length", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 5\n"+te, chunked(good)), "202 200"},
		{"a length and chunks, and a request after", request("POST /log HTTP/1.1", "Host: x\nContent-Length: 5\n"+te, chunked(good)+inner), "202 202 200"},
		{"chunks twice", request("POST /log HTTP/1.1", "Host: x\n"+te+"\n"+te, chunked(good)), "501"},
		{"chunked, chunked", request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding: chunked, chunked", chunked(good)), "501"},
		{"chunked, identity", request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding: chunked, identity", chunked(good)), "501"},
		{"xchunked", request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding: xchunked", chunked(good)), "501"},
		{"a tab before chunked", request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding:\tchunked", chunked(good)), "202 200"},
		{"a vertical tab before chunked", request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding: \vchunked", chunked(good)), "400"},
		{"a space after Transfer-Encoding", request("POST /log HTTP/1.1", "Host: x\nTransfer-Encoding : chunked", chunked(good)), "400"},
		{"chunks in HTTP/1.0", request("POST /log HTTP/1.0", "Host: x\n"+te, chunked(good)), "400"},
		{"a chunk's size with a sign", request("POST /log HTTP/1.1", "Host: x\n"+te, "+2b\r\n"+good+"\r\n0\r\n\r\n"), "400"},
		{"a chunk's size beyond 64 bits", request("POST /log HTTP/1.1", "Host: x\n"+te, "fffffffffffffffff\r\n"+good), "400"},
		{"a chunk's size that is too small", request("POST /log HTTP/1.1", "Host: x\n"+te, "5\r\n"+good+"\r\n0\r\n\r\n"), "400"},
		{"a chunk without its line break", request("POST /log HTTP/1.1", "Host: x\n"+te, "2b\r\n"+good+"0\r\n\r\n"), "400"},
		{"an extension of 20,000 bytes", request("POST /log HTTP/1.1", "Host: x\n"+te, "2b;"+strings.Repeat("a", 20_000)+"\r\n"+good+"\r\n0\r\n\r\n"), "400"},
		{"a request within a chunk", request("POST /log HTTP/1.1", "Host: x\n"+te, chunked(inner)), "400 200"},
		{"a trailer that forges a header", request("POST /log HTTP/1.1", "Host: x\n"+te+"\nTrailer: Content-Encoding", "2b\r\n"+good+"\r\n0\r\nContent-Encoding: gzip\r\n\r\n"), "202 200"},
		{"chunks of one byte", request("POST /log HTTP/1.1", "Host: x\n"+te, ofOneByte(good)), "202 200"},
		{"chunks over the limit", request("POST /log HTTP/1.1", "Host: x\n"+te, chunked(strings.Repeat(" ", 262_145))), "413 200"},

		// Pipelines.
		{"three at once", posted("") + at("/nowhere") + posted(""), "202 404 202 200"},
		{"200 at once", strings.Repeat(posted(""), 200), strings.Repeat("202 ", 200) + "200"},
		{"a bad one in the middle", posted("") + "EVIL\r\n\r\n" + posted(""), "202 400"},
		{"one within the other's body", request("POST /nowhere HTTP/1.1", "Host: x", inner), "404 200"},
	}
}

func ofOneByte(body string) string {
	var b strings.Builder
	for i := range len(body) {
		b.WriteString("1\r\n" + body[i:i+1] + "\r\n")
	}
	return b.String() + "0\r\n\r\n"
}

// What net/http's client would never send. Every answer is the golden file's, an event
// is published for each 202 and for nothing else, and every connection ends.
func TestHostileWire(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p)
	var out strings.Builder
	published := 0
	for _, c := range hostileWire() {
		answers, bodies := exchange(t, s, c.bytes+probe)
		if answers != c.answers {
			t.Errorf("%s: answers %q, want %q\n%s", c.what, answers, c.answers, bodies)
		}
		now := len(p.published())
		if accepted := strings.Count(answers, "202"); now-published != accepted {
			t.Errorf("%s: %d accepted, %d published", c.what, accepted, now-published)
		}
		published = now
		fmt.Fprintf(&out, "# %s\n%s", c.what, bodies)
	}
	golden.File(t, "hostile_wire.txt", out.String())
	if log := s.log.String(); log != "" {
		t.Errorf("clients' faults fill the log: %s", log)
	}
	if used := s.budgetUsed(t); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
}

// exchange sends bytes and returns the statuses of the answers until the server closes,
// and those answers' bodies that tell of a fault.
func exchange(t *testing.T, s *service, bytes string) (statuses, bodies string) {
	t.Helper()
	conn := dial(t, s)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, bytes) // the server may close before it has read all
	}()
	defer func() { conn.Close(); <-written }()
	var list []string
	var text strings.Builder
	reader := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(reader, nil)
		if ended(err) {
			return strings.Join(list, " "), text.String()
		}
		if err != nil {
			t.Fatalf("after %q: %v", list, err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil && !ended(err) {
			t.Fatalf("after %q: %v", list, err)
		}
		list = append(list, strconv.Itoa(res.StatusCode))
		if res.StatusCode >= 400 {
			fmt.Fprintf(&text, "%s\n", strings.TrimSpace(instanceForm.ReplaceAllString(string(body), "urn:uuid:…")))
		}
	}
}

// ended reports whether a connection's reader says that there is no more.
func ended(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout()
}

// A client that sends a byte now and then holds a connection no longer than one that
// sends none: the time for headers and for a small body is the whole's.
func TestTricklingClients(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p, quick)
	for what, c := range map[string]struct{ begin, answers string }{
		"headers": {"POST /log HTTP/1.1\r\nHost: x\r\nX: ", ""}, // there is no request to answer
		"a body":  {"POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", "408"},
		"chunks":  {"POST /log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n", "408"},
	} {
		t.Run(what, func(t *testing.T) {
			conn := dial(t, s)
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, c.begin); err != nil {
				t.Fatal(err)
			}
			trickling := make(chan struct{})
			go func() {
				defer close(trickling)
				for range 10_000 {
					if _, err := io.WriteString(conn, " "); err != nil {
						return
					}
					time.Sleep(time.Millisecond) // the pace is what is tested
				}
			}()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			got := ""
			if err == nil {
				res.Body.Close()
				got = strconv.Itoa(res.StatusCode)
			} else if !ended(err) {
				t.Fatal(err)
			}
			conn.Close()
			<-trickling
			if got != c.answers {
				t.Errorf("answer %q, want %q", got, c.answers)
			}
		})
	}
	if n := len(p.published()); n > 0 {
		t.Errorf("published %d", n)
	}
	waitFor(t, func() bool { return s.budgetUsed(t) == 0 })
}
