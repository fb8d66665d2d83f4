// The client of docs/clients.md that loses nothing, in Go.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
)

const most = 30 * time.Second // between two attempts

// ErrRefused says that the event can't be accepted as it is: a person has to look. After any other
// error of Log the outcome is unknown.
var ErrRefused = errors.New("refused")

// Log returns the event's id, and nil once it is safe.
func Log(url string, event map[string]any) (id string, err error) {
	if event["event_id"] == nil {
		event = maps.Clone(event)                   // the caller's next event gets an id of its own
		event["event_id"] = uuid.Must(uuid.NewV7()) // one id for all attempts
	}
	id = fmt.Sprint(event["event_id"])
	body, err := json.Marshal(event)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	client := http.Client{
		Timeout: 30 * time.Second,
		// The page that a redirect leads to takes no events.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for attempt := 0; ; attempt++ {
		again, after, err := post(&client, url, body)
		if !again || attempt == 9 {
			return id, err
		}
		backoff := min(time.Second<<attempt, most)
		backoff = backoff/2 + rand.N(backoff/2)
		time.Sleep(min(max(backoff, after+rand.N(time.Second)), most))
	}
}

// post tries once. again says that another attempt may help, and after when the server wants it.
func post(client *http.Client, url string, body []byte) (again bool, after time.Duration, err error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if key := os.Getenv("TRAILPOST_API_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := client.Do(request)
	if err != nil {
		return true, 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch answer.StatusCode {
	case http.StatusAccepted:
		var accepted struct {
			ID string `json:"event_id"`
		}
		if err == nil && json.Unmarshal(text, &accepted) == nil && accepted.ID != "" {
			return false, 0, nil
		}
		again = true // not the whole answer
	case 408, 425, 429, 500, 502, 503, 504:
		again, after = true, retryAfter(answer.Header.Get("Retry-After"))
	}
	err = fmt.Errorf("%s: %s", answer.Status, text)
	if !again {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return again, after, err
}

// retryAfter reads a number of seconds or a date; 0 if it is neither.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, 30)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(time.Until(date), most)
	}
	return 0
}

func main() {
	event := map[string]any{"session_id": 123, "event_type": "user_action", "payload": map[string]any{"button": "save"}}
	id, err := Log("http://localhost:8001/log", event)
	if err != nil {
		log.Fatal(id, ": ", err)
	}
	fmt.Println(id)
}
