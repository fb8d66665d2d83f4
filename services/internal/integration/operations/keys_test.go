package operations

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// keysFile makes a file with the key of the client, by the name tests, and other lines.
func keysFile(t *testing.T, lines ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	writeKeys(t, path, append(lines, testLine("tests"))...)
	return path
}

// testLine gives the key of the client a name.
func testLine(name string) string {
	return fmt.Sprintf("%s sha256:%x", name, sha256.Sum256([]byte(pipeline.TestKey)))
}

// writeKeys replaces a file at once, as an editor should.
func writeKeys(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// statusWith posts an event with a key, "" for none.
func statusWith(t *testing.T, producer *pipeline.Service, key string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, producer.URL+"/log", strings.NewReader(`{"session_id":1,"event_type":"user_action"}`))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := pipeline.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// A key from its making to its end: the name of whoever sent an event is in the
// trail, and a key that is taken out of the file is refused within 10 seconds.
func TestKeysFromMakingToRevoking(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "producer")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/trailpost/trailpost/services/producer").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	newKey := func(name string) (key, line string) {
		t.Helper()
		out, err := exec.Command(binary, "keys", "new", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(out)) {
			if rest, ok := strings.CutPrefix(text, "key: "); ok {
				key = strings.TrimSpace(rest)
			}
			if rest, ok := strings.CutPrefix(text, "line: "); ok {
				line = strings.TrimSpace(rest)
			}
		}
		if key == "" || line == "" {
			t.Fatalf("keys new says %s", out)
		}
		return key, line
	}
	key, line := newKey("billing")
	next, nextLine := newKey("billing")
	path := keysFile(t, line)
	s := pipeline.New(t, "PRODUCER_API_KEYS_FILE="+path)
	log := s.Logged()
	producer := s.Producer()
	s.Consumer()
	for k, want := range map[string]int{key: 202, pipeline.TestKey: 202, "": 401, next: 401, key + "x": 401} {
		if got := statusWith(t, producer, k); got != want {
			t.Errorf("key %q: %d, want %d", k, got, want)
		}
	}
	if a := pipeline.Post(t, producer.URL+"/log/batch", "application/json", `[{"session_id":1,"event_type":"user_action"},{"session_id":1,"event_type":"user_action"}]`); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	s.WaitRows(4)
	if n, m := s.Rows("received_from = 'billing'"), s.Rows("received_from = 'tests'"); n != 1 || m != 3 {
		t.Errorf("%d events from billing, %d from tests; want 1 and 3", n, m)
	}

	// A client that changes its key sends all the time, and is never turned away.
	writeKeys(t, path, line, nextLine)
	pipeline.Eventually(t, "the next key is taken", func() bool { return statusWith(t, producer, next) == 202 })
	if got := statusWith(t, producer, key); got != 202 {
		t.Errorf("the old key beside the next: %d", got)
	}
	writeKeys(t, path, nextLine)
	pipeline.Within(t, 10*time.Second, "the revoked key is refused", func() bool { return statusWith(t, producer, key) == 401 })
	if got := statusWith(t, producer, next); got != 202 {
		t.Errorf("the next key: %d", got)
	}
	if text := log.String(); strings.Contains(text, key) || strings.Contains(text, next) {
		t.Error("a key is in the log")
	}
}

// A second attempt with another key is the same event, and the first one's.
func TestRetryWithAnotherKey(t *testing.T) {
	path := keysFile(t)
	s := pipeline.New(t, "PRODUCER_API_KEYS_FILE="+path)
	log := s.Logged()
	producer := s.Producer()
	s.Consumer()
	body := fmt.Sprintf(`{"session_id":1,"event_type":"user_action","event_id":%q}`, uuid.Must(uuid.NewV7()))
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", body); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	s.WaitRows(1)
	writeKeys(t, path, testLine("second"))
	pipeline.Eventually(t, "the key has another name", func() bool { return strings.Contains(log.String(), "API keys have changed") })
	for _, again := range []string{body, `{"session_id":1,"event_type":"user_action"}`} {
		if a := pipeline.Post(t, producer.URL+"/log", "application/json", again); a.Code != 202 {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
	}
	s.WaitRows(2)
	if first, second := s.Rows("received_from = 'tests'"), s.Rows("received_from = 'second'"); first != 1 || second != 1 {
		t.Errorf("%d rows of the first name, %d of the second; want one each", first, second)
	}
	if letters := s.Letters(); len(letters) > 0 {
		t.Errorf("%+v", letters)
	}
}

// Metrics and probes on a port of their own, in the clear beside HTTPS and keys; and
// not where events are taken.
func TestMetricsOnAPortOfTheirOwn(t *testing.T) {
	certificate, key := selfSigned(t)
	port, err := devservers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := pipeline.New(t, "PRODUCER_TLS_CERT_FILE="+certificate, "PRODUCER_TLS_KEY_FILE="+key, "PRODUCER_API_KEYS_FILE="+keysFile(t),
		fmt.Sprintf("PRODUCER_METRICS_PORT=%d", port))
	producer := s.Producer()
	producer.URL = strings.Replace(producer.URL, "http:", "https:", 1)
	probes := &pipeline.Service{URL: "http://" + net.JoinHostPort("127.0.0.1", fmt.Sprint(port))}
	s.Accept(producer, 10)
	if got := pipeline.Metric(t, probes, "trailpost_events_accepted_total"); got != 10 {
		t.Errorf("%v events accepted, by the metrics", got)
	}
	for url, want := range map[string]int{
		probes.URL + "/livez": 200, probes.URL + "/readyz": 200, probes.URL + "/log": 404, probes.URL + "/docs": 404,
		producer.URL + "/metrics": 404, producer.URL + "/readyz": 200,
	} {
		if code, body := pipeline.Get(t, url); code != want {
			t.Errorf("%s: %d %s, want %d", url, code, body, want)
		}
	}
	if err := producer.Stop(); err != nil {
		t.Error(err)
	}
	if response, err := pipeline.Client.Get(probes.URL + "/livez"); err == nil {
		_ = response.Body.Close()
		t.Error("probes are answered after the end")
	}
}
