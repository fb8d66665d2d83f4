package pipeline

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Answer is what a client was told.
type Answer struct {
	Code     int
	Header   http.Header
	Body     string
	Status   any      `json:"status"` // a word, or a problem's number
	Message  string   `json:"message"`
	EventID  string   `json:"event_id"`
	Accepted int      `json:"accepted"`
	EventIDs []string `json:"event_ids"`
	Detail   string   `json:"detail"`
	Errors   []struct {
		Index   *int   `json:"index"`
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
}

// Post posts a body, with the test's API key.
func Post(t *testing.T, url, contentType, body string) Answer {
	t.Helper()
	a, err := TryPost(url, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Client is the client of the tests.
var Client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
	MaxIdleConnsPerHost: 100,
	TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // our own servers, on the loopback
}}

// TryPost is Post for a producer that may not answer.
func TryPost(url, contentType, body string) (a Answer, err error) {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+TestKey) // producers that ask for none don't mind
	response, err := Client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a = Answer{Code: response.StatusCode, Header: response.Header, Body: string(text)}
	err = json.Unmarshal(text, &a)
	return a, err
}

// Get gets a page of a service.
func Get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	response, err := Client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// NDJSON is the body of a batch of these lines.
func NDJSON(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// Lines are n lines, which a number distinguishes.
func Lines(n int, format string) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}

// Accept posts n events and returns the ids that the client was told.
func (s *Pipeline) Accept(producer *Service, n int) (ids []string) {
	s.T.Helper()
	for done := 0; done < n; done += 10_000 {
		a := Post(s.T, producer.URL+"/log/batch", "application/x-ndjson",
			Lines(min(n-done, 10_000), `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`))
		if a.Code != 202 {
			s.T.Fatalf("%d %.500s", a.Code, a.Body)
		}
		ids = append(ids, a.EventIDs...)
	}
	return ids
}

// TestKey is the API key that the client of these tests shows.
const TestKey = "tp_of-the-tests"

// Example is the body of the curl call in the Python service's README.
const Example = `{
       "session_id": 123,
       "event_type": "review_started",
       "payload": {
         "code_language": "python",
         "file_count": 3,
         "user_agent": "VSCode/1.74.0"
       }
     }`
