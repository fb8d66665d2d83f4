package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mood is what a proxy does once, instead of its work.
type mood struct {
	status int    // what it answers; 0: it drops the connection
	after  int    // or rather, it drops it when it has passed the request on, and so many bytes of the answer's back
	cut    bool   // and that answer is of HTTP/1.0, with no length: it ends where the connection does
	body   string // what it answers with a status; "": a page

	retryAfter string        // seconds, or junk; "": none
	date       time.Duration // from now, which is sent as a date; 0: none
	least      float64       // seconds that the client then waits at least; 0: as long as it likes
}

func (m mood) String() string {
	return fmt.Sprintf("%d %q %q %s, after %d", m.status, m.body, m.retryAfter, m.date, m.after)
}

// transient are moods that a client has to get over, of each list one fewer than it has attempts.
var transient = [][]mood{{
	{status: 408},
	{status: 425, retryAfter: "7", least: 7},
	{status: 429, retryAfter: "soon"},
	{status: 500, date: 25 * time.Second, least: 10}, // less what a busy machine takes to get there
	{status: 502, date: -time.Hour},
	{status: 503, retryAfter: "3600", least: 30},
	{status: 504, date: time.Hour, least: 30},
	{after: 0},
	{after: 100},
}, {
	{after: 30, cut: true},
	{after: 0, cut: true},
	{status: 202, body: "\n"},
	{status: 202},
	{status: 202, body: `{"status":"queued"}`},
	{status: 503, retryAfter: "99999999999999999999", least: 30},
	{status: 503, retryAfter: "Fri, 31 Dec 99999999999 23:59:59 GMT"},
	{status: 503, retryAfter: "1", body: strings.Repeat("a long page ", 20_000), least: 1},
}}

// final are answers that no retry helps. A page of a proxy's is no acceptance, and neither is what
// a redirect leads to.
var final = []mood{
	{status: 400}, {status: 401}, {status: 413}, {status: 422},
	{status: 200}, {status: 200, body: `{"status":"maintenance"}`}, {status: 302}, {status: 307},
}

const clientKey = "tp_key-of-the-clients"

// proxy is one before a producer. It does its work when it has had all of its moods.
type proxy struct {
	t        *testing.T
	upstream string

	mu    sync.Mutex // guards below
	moods []mood
	ids   []string // event ids of the requests, in their order
}

// expect begins again, with these moods.
func (p *proxy) expect(moods []mood) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moods, p.ids = moods, nil
}

// seen are the requests' event ids since then.
func (p *proxy) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ids)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/log" { // whoever follows a redirect is told what an accepted event is
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ids = append(p.ids, "at "+r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"event_id":"01936f3e-8a00-7c1d-9b2e-3f4a5b6c7d8e"}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	var event struct {
		ID string `json:"event_id"`
	}
	if err != nil || json.Unmarshal(body, &event) != nil || r.Header.Get("Authorization") != "Bearer "+clientKey {
		p.t.Errorf("a client sent %q, %q, %v", r.Header, body, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := mood{after: 1 << 20} // all of it
	if len(p.ids) < len(p.moods) {
		m = p.moods[len(p.ids)]
	}
	p.ids = append(p.ids, event.ID)
	if m.status != 0 {
		value := m.retryAfter
		if m.date != 0 {
			value = time.Now().Add(m.date).UTC().Format(http.TimeFormat)
		}
		if value != "" {
			w.Header().Set("Retry-After", value)
		}
		if m.status/100 == 3 {
			w.Header().Set("Location", "/sign-in")
		}
		w.WriteHeader(m.status)
		_, _ = io.WriteString(w, cmp.Or(m.body, "<html>as proxies say it\r\n</html>"))
		return
	}
	p.pass(w, body, m.after, m.cut)
}

// pass passes a request on, and at most so many bytes of the answer's body back.
func (p *proxy) pass(w http.ResponseWriter, body []byte, most int, cut bool) {
	answer, err := http.Post(p.upstream+"/log", "application/json", bytes.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusAccepted {
		p.t.Errorf("the producer answered %s, %v: %s", answer.Status, err, text)
	}
	if cut {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			p.t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(connection, "HTTP/1.0 202 Accepted\r\nContent-Type: application/json\r\n\r\n%s", text[:most])
		_ = connection.Close()
		return
	}
	if most == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(text[:min(most, len(text))])
	if most < len(text) {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// clients are those of docs/clients.md, by language.
var clients = map[string]string{"bash": "client.sh", "python": "client.py", "go": "go/main.go"}

// The clients of docs/examples get over what proxies answer for a moment, and over connections that
// break, with one event; they don't insist where that can't help, and say which of the two it was. They note how long they
// would have slept, and don't.
func checkClients(t *testing.T, producer string, rows func(id string) string) {
	t.Helper()
	for language, file := range clients {
		code, err := os.ReadFile("../../docs/examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		p := &proxy{t: t, upstream: producer}
		server := httptest.NewServer(p)
		t.Cleanup(server.Close)
		run := sleepless(t, language, strings.ReplaceAll(string(code), "http://localhost:8001", server.URL))
		try := func(moods ...mood) (requests []string, slept []float64, err error) {
			p.expect(moods)
			slept, err = run()
			return p.seen(), slept, err
		}

		for _, moods := range transient {
			requests, slept, err := try(moods...)
			if err != nil || len(requests) != len(moods)+1 || len(slept) != len(moods) {
				t.Errorf("%s: %d requests, slept %v: %v", language, len(requests), slept, err)
				continue
			}
			for i, m := range moods {
				backoff := min(float64(int(1)<<i), 30)
				least, most := max(m.least, backoff/2), 30.0
				if m.least == 0 {
					most = min(backoff+1, most)
				}
				if slept[i] < least || slept[i] > most {
					t.Errorf("%s: slept %.3f s after %.200s, want %.1f to %.1f", language, slept[i], m, least, most)
				}
			}
			id := requests[0]
			if id == "" || slices.ContainsFunc(requests, func(other string) bool { return other != id }) {
				t.Errorf("%s: the ids %q", language, requests)
			}
			waitFor(t, "what the "+language+" client sends is one row", func() bool { return rows(id) == "1" })
		}

		for _, m := range final {
			if requests, slept, err := try(m); !isRefusal(language, err) || len(requests) != 1 || len(slept) > 0 {
				t.Errorf("%s: after %s: %d requests, slept %v, %v", language, m, len(requests), slept, err)
			}
		}
		if requests, slept, err := try(slices.Repeat([]mood{{status: 503}}, 20)...); err == nil || isRefusal(language, err) || len(requests) != 10 || len(slept) != 9 {
			t.Errorf("%s: after 503 for ever: %d requests, slept %v, %v", language, len(requests), slept, err)
		}
	}
}

// isRefusal reports whether a client's end says that no retry can help, and not that the outcome is unknown.
func isRefusal(language string, err error) bool {
	if language == "bash" {
		exit, ok := errors.AsType[*exec.ExitError](err)
		return ok && exit.ExitCode() == 1
	}
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "refused: ")
}

// sleepless makes a client ready to run. Each run returns the seconds that it would have slept.
func sleepless(t *testing.T, language, code string) (run func() (slept []float64, err error)) {
	t.Helper()
	dir := t.TempDir()
	notes := filepath.Join(dir, "slept")
	var command []string
	switch language {
	case "bash":
		command = []string{"bash", "-euo", "pipefail", "-c", `sleep() { echo "$1" >> ` + notes + "; }\n" + code}
	case "python":
		command = []string{"python3", "-c", "import time\ntime.sleep = lambda s: print(s, file=open('" + notes + "', 'a'))\n" + code}
	case "go":
		code = strings.ReplaceAll(code, "time.Sleep(", "sleep(")
		command = []string{buildClient(t, dir, code, fmt.Sprintf(`package main

import (
	"fmt"
	"os"
	"time"
)

func sleep(d time.Duration) {
	notes, err := os.OpenFile(%q, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer notes.Close()
	fmt.Fprintln(notes, d.Seconds())
}
`, notes))}
	}
	return func() (slept []float64, err error) {
		_ = os.Remove(notes)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "TRAILPOST_API_KEY="+clientKey)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		text, _ := os.ReadFile(notes) // there is none if it didn't sleep
		for word := range strings.FieldsSeq(string(text)) {
			seconds, err := strconv.ParseFloat(word, 64)
			if err != nil {
				t.Error(err)
			}
			slept = append(slept, seconds)
		}
		return slept, err
	}
}

// buildClient builds a Go program in a folder of this module, which has its one dependency.
func buildClient(t *testing.T, dir string, files ...string) (binary string) {
	t.Helper()
	folder, err := os.MkdirTemp("testdata", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	for i, code := range files {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file%d.go", i)), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "client")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./"+folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}
