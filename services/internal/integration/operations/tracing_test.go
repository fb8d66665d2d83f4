package operations

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
)

// tracedStack is a stack whose services send their traces to a collector.
func tracedStack(t *testing.T, settings ...string) (*pipeline.Pipeline, *collector) {
	t.Helper()
	c := newCollector(t)
	s := pipeline.New(t, append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.server.URL, "CONSUMER_WORKERS=1"}, settings...)...)
	return s, c
}

// call posts a body with a traceparent, if any, and wants 202.
func call(t *testing.T, url, traceparent, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if strings.Contains(body, "\n") {
		request.Header.Set("Content-Type", "application/x-ndjson")
	}
	if traceparent != "" {
		request.Header.Set("Traceparent", traceparent)
	}
	response, err := pipeline.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %s", response.Status, text)
	}
}

// child says what is wrong with a span that should be parent's, in its trace.
func child(t *testing.T, s, parent span, kind string, attributes map[string]any) {
	t.Helper()
	if s.trace != parent.trace || s.parent != parent.id || s.kind != kind {
		t.Errorf("%s: trace %s parent %s kind %s, want %s %s %s (%s)", s.name, s.trace, s.parent, s.kind, parent.trace, parent.id, kind, parent.name)
	}
	has(t, s, attributes)
}

func has(t *testing.T, s span, attributes map[string]any) {
	t.Helper()
	for name, want := range attributes {
		if got := s.attributes[name]; got != want {
			t.Errorf("%s: %s is %v, want %v", s.name, name, got, want)
		}
	}
}

func linked(t *testing.T, s, to span) {
	t.Helper()
	if !slices.Contains(s.links, to.context()) {
		t.Errorf("%s is not linked to %s: %v", s.name, to.name, s.links)
	}
}

// One event, alone: one trace from the client's span to the commit.
func TestOneTraceFromTheRequestToTheCommit(t *testing.T) {
	s, c := tracedStack(t)
	producer := s.Producer()
	s.Consumer()
	id := uuid.Must(uuid.NewV7()).String()
	call(t, producer.URL+"/log", "00-"+clientTrace+"-"+clientSpan+"-01", `{"session_id":1,"event_type":"user_action","event_id":"`+id+`"}`)
	s.WaitRows(1)

	request := c.one("POST /log")
	child(t, request, span{name: "client", trace: clientTrace, id: clientSpan}, "SERVER", map[string]any{
		"http.request.method": "POST", "http.route": "/log", "url.path": "/log", "url.scheme": "http", "http.response.status_code": int64(202),
		"server.address": "127.0.0.1",
	})
	send := c.one("send log_queue")
	queue := map[string]any{
		"messaging.system": "rabbitmq", "messaging.destination.name": "log_queue", "messaging.rabbitmq.destination.routing_key": "log_queue",
		"server.address": s.Vhost.Host, "server.port": int64(s.Vhost.Port),
	}
	child(t, send, request, "PRODUCER", queue)
	has(t, send, map[string]any{"messaging.operation.type": "send", "messaging.operation.name": "send", "messaging.message.id": id})
	publish := c.one("publish log_queue")
	child(t, publish, send, "CLIENT", queue)
	has(t, publish, map[string]any{"messaging.operation.type": "send", "messaging.operation.name": "publish", "messaging.batch.message_count": int64(1)})
	process := c.one("process log_queue")
	child(t, process, send, "CONSUMER", queue)
	linked(t, process, send)
	has(t, process, map[string]any{"messaging.operation.type": "process", "messaging.message.id": id, "trailpost.stored": int64(1)})
	database := map[string]any{"db.system.name": "postgresql", "db.namespace": s.DB.Name}
	store := c.one("COPY log_events")
	child(t, store, process, "CLIENT", database)
	has(t, store, map[string]any{"db.operation.name": "COPY", "db.collection.name": "log_events", "db.operation.batch.size": int64(1)})
	commit := c.one("COMMIT")
	child(t, commit, process, "CLIENT", database)
	if _, ok := commit.attributes["db.query.text"]; !ok {
		t.Error("no text of the statement")
	}

	if !commit.start.After(store.start) || commit.end.After(process.end) || process.start.After(store.start) {
		t.Errorf("process %v–%v, COPY %v, COMMIT –%v", process.start, process.end, store.start, commit.end)
	}
	for name, service := range map[string]string{"send log_queue": "trailpost-producer", "COMMIT": "trailpost-consumer"} {
		if got := c.one(name).service; got != service {
			t.Errorf("%s is %s's, want %s's", name, got, service)
		}
	}
	if others := c.all(func(s span) bool { return s.trace != clientTrace }); len(others) > 0 {
		t.Errorf("%d spans of other traces: %v", len(others), others)
	}
}

// A request with many events is one trace, too.
func TestTheTraceOfABatch(t *testing.T) {
	s, c := tracedStack(t, "CONSUMER_LINGER=1s")
	producer := s.Producer()
	call(t, producer.URL+"/log/batch", "", pipeline.Lines(100, `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`))
	s.Consumer()
	s.WaitRows(100)

	request := c.one("POST /log/batch")
	if request.parent != "" {
		t.Errorf("it has a parent: %s", request.parent)
	}
	send := c.one("send log_queue")
	child(t, send, request, "PRODUCER", map[string]any{"messaging.batch.message_count": int64(100)})
	events := int64(0)
	for _, publish := range c.wait(2, "publish log_queue") { // 64 and 36
		child(t, publish, send, "CLIENT", nil)
		events += publish.attributes["messaging.batch.message_count"].(int64)
	}
	if events != 100 {
		t.Errorf("%d events were published", events)
	}
	process := c.one("process log_queue")
	child(t, process, send, "CONSUMER", map[string]any{"messaging.batch.message_count": int64(100), "trailpost.stored": int64(100)})
	child(t, c.one("COPY log_events"), process, "CLIENT", map[string]any{"db.operation.batch.size": int64(100)})
	child(t, c.one("COMMIT"), process, "CLIENT", nil)
}

// Many requests share messages and a batch: each trace shows its own end, and is
// linked to what it shares; of both there is a bound.
func TestTracesThatShareABatch(t *testing.T) {
	const requests, bound = 150, 128
	s, c := tracedStack(t, "CONSUMER_LINGER=1s")
	producer := s.Producer()
	var wg sync.WaitGroup
	for n := range requests {
		wg.Go(func() {
			call(t, producer.URL+"/log", fmt.Sprintf("00-%032x-%016x-01", n+1, n+1), `{"session_id":1,"event_type":"user_action"}`)
		})
	}
	wg.Wait()
	s.Consumer()
	s.WaitRows(requests)

	sends := map[string]span{}
	for _, send := range c.wait(requests, "send log_queue") {
		sends[send.context()] = send
	}
	pipeline.Within(t, pipeline.Patience, "all messages' spans", func() bool { return sum(c.all(named("publish log_queue"))) == requests })
	grouped := 0
	for _, publish := range c.all(named("publish log_queue")) {
		parent, ok := sends[publish.trace+"-"+publish.parent]
		if !ok {
			t.Fatalf("the parent of a message's span is none of the requests': %s", publish.parent)
		}
		child(t, publish, parent, "CLIENT", nil)
		for _, link := range publish.links {
			grouped++
			linked(t, sends[link], publish) // and back
		}
		if want := publish.attributes["messaging.batch.message_count"].(int64) - 1; int64(len(publish.links)) != want {
			t.Errorf("%d links, want %d", len(publish.links), want)
		}
	}
	if grouped == 0 {
		t.Error("no message had more than one event")
	}

	process := c.one("process log_queue")
	has(t, process, map[string]any{"messaging.batch.message_count": int64(requests), "trailpost.links_dropped": int64(requests - bound)})
	if process.parent != "" || len(process.links) != bound {
		t.Errorf("the batch has parent %q and %d links", process.parent, len(process.links))
	}
	for _, store := range c.wait(bound, "store log_queue") {
		send, ok := sends[store.trace+"-"+store.parent]
		if !ok {
			t.Fatalf("the parent of an event's span is none of the requests': %s", store.parent)
		}
		child(t, store, send, "CONSUMER", map[string]any{"messaging.message.id": send.attributes["messaging.message.id"], "trailpost.stored": int64(1)})
		linked(t, store, process)
		linked(t, process, send)
	}
	child(t, c.one("COMMIT"), process, "CLIENT", nil)
}

func sum(spans []span) (events int64) {
	for _, s := range spans {
		n, _ := s.attributes["messaging.batch.message_count"].(int64)
		events += n
	}
	return events
}

// A dead letter fails the trace of its event, and of no other.
func TestTheTraceOfADeadLetter(t *testing.T) {
	s, c := tracedStack(t)
	producer := s.Producer()
	s.Consumer()
	id := uuid.Must(uuid.NewV7()).String()
	body := `{"session_id":1,"event_type":"user_action","event_id":"` + id + `","payload":{"n":%d}}`
	call(t, producer.URL+"/log", "", fmt.Sprintf(body, 1))
	s.WaitRows(1)
	first := c.one("process log_queue")
	if first.failed {
		t.Error("the trace of a stored event has failed")
	}
	call(t, producer.URL+"/log", "00-"+clientTrace+"-"+clientSpan+"-01", fmt.Sprintf(body, 2))
	dead := c.one("publish log_queue.dead")
	var process span
	pipeline.Within(t, pipeline.Patience, "the batch's span", func() bool {
		found := c.all(func(s span) bool { return s.name == "process log_queue" && s.trace == clientTrace })
		if len(found) == 1 {
			process = found[0]
		}
		return len(found) == 1
	})
	child(t, dead, process, "CLIENT", map[string]any{"messaging.destination.name": "log_queue.dead", "messaging.batch.message_count": int64(1)})
	has(t, process, map[string]any{"error.type": "event_id_reused", "trailpost.dead_lettered": int64(1), "trailpost.stored": int64(0)})
	if !process.failed {
		t.Error("the trace of a dead letter has not failed")
	}
	s.WaitLetters(1)
}

// What the broker does not take fails the trace, all the way up.
func TestTheTraceOfARefusal(t *testing.T) {
	s, c := tracedStack(t)
	producer := s.Producer()
	conn, err := amqp.Dial(s.Vhost.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDelete("log_queue", false, false, false); err != nil {
		t.Fatal(err)
	}
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", `{"session_id":1,"event_type":"user_action"}`); a.Code != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	for name, errorType := range map[string]string{"POST /log": "503", "send log_queue": "not_confirmed", "publish log_queue": "returned"} {
		span := c.one(name)
		has(t, span, map[string]any{"error.type": errorType})
		if !span.failed {
			t.Errorf("%s has not failed", name)
		}
	}
}

// The client decides whether its trace is recorded; probes never are.
func TestWhatIsNotTraced(t *testing.T) {
	s, c := tracedStack(t, "CONSUMER_LINGER=1s")
	producer := s.Producer()
	for _, trace := range []string{clientTrace, strings.Repeat("1", 32)} {
		call(t, producer.URL+"/log", "00-"+trace+"-"+clientSpan+"-00", `{"session_id":1,"event_type":"user_action"}`)
	}
	for _, path := range []string{"/livez", "/readyz", "/health", "/metrics"} {
		pipeline.Get(t, producer.URL+path)
	}
	s.Consumer()
	s.WaitRows(2) // of one batch, which is in none of its traces
	// Spans are sent in the order in which they end: these are the last.
	call(t, producer.URL+"/log", "", `{"session_id":1,"event_type":"user_action"}`)
	last := c.one("POST /log")
	pipeline.Within(t, pipeline.Patience, "the last batch's span", func() bool {
		return len(c.all(func(s span) bool { return s.name == "process log_queue" && s.trace == last.trace })) == 1
	})
	if others := c.all(func(s span) bool { return s.trace != last.trace }); len(others) > 0 {
		t.Errorf("%d spans of what should not be traced: %v", len(others), others)
	}
}

func TestTracingIsOffWithoutACollector(t *testing.T) {
	s := pipeline.New(t, "OTEL_TRACES_SAMPLER=always_on")
	producer := s.Producer()
	s.Consumer()
	traceparent := "00-" + clientTrace + "-" + clientSpan + "-01"
	call(t, producer.URL+"/log", traceparent, `{"session_id":1,"event_type":"user_action"}`)
	s.WaitRows(1)
	buf := make([]byte, 4<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	if strings.Contains(stacks, "go.opentelemetry.io/") {
		t.Errorf("a goroutine of OpenTelemetry's runs:\n%s", stacks)
	}
}

// A collector that is away, or says nothing, costs spans and nothing else.
func TestACollectorThatIsAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "gone": gone.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
			s := pipeline.New(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_EXPORTER_OTLP_TIMEOUT=600000")
			log := s.Logged()
			producer, consumer := s.Producer(), s.Consumer()
			for range 20 {
				call(t, producer.URL+"/log", "", `{"session_id":1,"event_type":"user_action"}`)
			}
			s.WaitRows(20)
			for _, service := range []*pipeline.Service{producer, consumer} {
				start := time.Now()
				if err := service.Stop(); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 15*time.Second { // 3 s for spans, with five-fold slack
					t.Errorf("it took %s to stop", took)
				}
			}
			if n := strings.Count(log.String(), "traces can't be sent"); n > 2 {
				t.Errorf("%d complaints of two services:\n%s", n, log)
			}
		})
	}
}

// What a client sends can't cost others their spans.
func TestHostileRequestsAreTraced(t *testing.T) {
	s, c := tracedStack(t)
	producer := s.Producer()
	conn, err := net.Dial("tcp", strings.TrimPrefix(producer.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "B%%REW /\xff\xfe%s?secret HTTP/1.1\r\nHost: h\r\nTraceparent: 00-zz\r\nConnection: close\r\n\r\n", strings.Repeat("x", 8000))
	if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 404") {
		t.Errorf("got %.60q", answer)
	}
	odd := c.one("HTTP")
	has(t, odd, map[string]any{"http.request.method": "_OTHER", "http.response.status_code": int64(404)})
	if path, _ := odd.attributes["url.path"].(string); len(path) > 1000 || strings.Contains(path, "secret") {
		t.Errorf("the path is %q", path)
	}
	call(t, producer.URL+"/log", "", `{"session_id":1,"event_type":"user_action"}`)
	c.one("POST /log")
}

// A file that can't be used ends the start, and is named. Values that nobody knows do not (config's
// TestTracingWarns): they are told.
func TestWrongTracingSettings(t *testing.T) {
	s := pipeline.New(t)
	for _, role := range []string{"producer", "consumer"} {
		for setting, want := range map[string]int{
			"OTEL_EXPORTER_OTLP_CERTIFICATE=/does/not/exist": 2,
			"OTEL_EXPORTER_OTLP_CERTIFICATE=/dev/null":       1, // a file without a certificate
		} {
			code, output := s.Exit(role, "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318", setting)
			if name, _, _ := strings.Cut(setting, "="); code != want || !strings.Contains(output, name) {
				t.Errorf("%s, %s: exit code %d: %s", role, setting, code, output)
			}
		}
		p := s.Spawn(role, "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318", "OTEL_TRACES_SAMPLER=xray", "OTEL_TRACES_EXPORTER=zipkin")
		pipeline.Eventually(t, "the "+role+" is ready", func() bool {
			code, _ := pipeline.Get(t, p.URL+"/readyz")
			return code == 200
		})
		for _, name := range []string{"OTEL_TRACES_SAMPLER", "OTEL_TRACES_EXPORTER"} {
			if !strings.Contains(p.Log.String(), `level=WARN`) || !strings.Contains(p.Log.String(), "setting="+name) {
				t.Errorf("%s: the log says nothing of %s", role, name)
			}
		}
	}
}

// A collector that wants to know who calls.
func TestACollectorOverTLS(t *testing.T) {
	c := unstartedCollector(t)
	var called atomic.Bool
	c.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || r.Header.Get("Authorization") != "Basic a,b" {
			t.Errorf("%d client certificates, headers %v", len(r.TLS.PeerCertificates), r.Header)
		}
		called.Store(true)
		c.ServeHTTP(w, r)
	})
	c.server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	c.server.StartTLS()

	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The server's own pair is as good a client's as any.
	key, err := x509.MarshalPKCS8PrivateKey(c.server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := file("tls.crt", "CERTIFICATE", c.server.Certificate().Raw)
	headers := filepath.Join(dir, "headers")
	if err := os.WriteFile(headers, []byte("authorization=Basic%20a%2Cb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := pipeline.New(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.server.URL, "OTEL_EXPORTER_OTLP_HEADERS_FILE="+headers,
		"OTEL_EXPORTER_OTLP_CERTIFICATE="+certificate,
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE="+certificate, "OTEL_EXPORTER_OTLP_CLIENT_KEY="+file("tls.key", "PRIVATE KEY", key))
	call(t, s.Producer().URL+"/log", "", `{"session_id":1,"event_type":"user_action"}`)
	c.one("POST /log")
	if !called.Load() {
		t.Error("nobody looked at who called")
	}
}
