package policy

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says which broker and which queues.
type Config struct {
	URL            string // of the management API, without credentials
	User, Password string
	VHost          string
	Queue, Dead    string // names of the queue and its dead-letter queue
	// TLS is called before every reading, so that renewed files are read; nil for http.
	TLS func() (*tls.Config, error)
	// AllowLossy has [Watcher.Events] and [Watcher.Letters] allow what would be dropped.
	AllowLossy bool
}

const (
	readTimeout = 5 * time.Second // of one queue
	maxAnswer   = 8 << 20         // bytes: a queue's statistics have a row a consumer and a publisher
)

// errNoPolicies says that the API answers, but without policies yet.
var errNoPolicies = errors.New("the management API knows no policies of it yet; it never will with management_agent.disable_metrics_collector = true")

// errMissing says that the API knows no such queue: at the first start it is not declared yet.
// RabbitMQ 4.3 says the same of a virtual host in which the user has no right.
var errMissing = errors.New("not there, or RABBITMQ_USER has no right in its virtual host")

// errNoAPI says that something else answers.
var errNoAPI = errors.New("what answers at RABBITMQ_MANAGEMENT_URL is no management API")

// reader asks the API. It is one GET for each of two queues: a client library would be more work to
// maintain than this is.
type reader struct {
	cfg    Config
	client *http.Client
}

func newReader(cfg Config) (*reader, error) {
	// No proxy from the environment, and no redirect: the password is for this server.
	transport := &http.Transport{}
	if cfg.TLS != nil {
		settings, err := cfg.TLS()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = settings
	}
	return &reader{cfg: cfg, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (r *reader) close() { r.client.CloseIdleConnections() }

// queue reads one queue.
func (r *reader) queue(ctx context.Context, name string) (Queue, error) {
	// Without statistics RabbitMQ 4.x returns a policy at once, 3.10 not at all; with them both
	// return it some seconds later.
	for _, query := range []string{"?disable_stats=true&enable_queue_totals=true", ""} {
		body, err := r.get(ctx, name, query)
		if err != nil {
			return Queue{}, fmt.Errorf("queue %q: %w", name, err)
		}
		q, complete, err := parseQueue(body)
		if err != nil || q.Name != name {
			return Queue{}, fmt.Errorf("queue %q: %w", name, errNoAPI)
		}
		if complete {
			return q, nil
		}
	}
	return Queue{}, fmt.Errorf("queue %q: %w", name, errNoPolicies)
}

func (r *reader) get(ctx context.Context, name, query string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	address := strings.TrimSuffix(r.cfg.URL, "/") + "/api/queues/" + url.PathEscape(r.cfg.VHost) + "/" + url.PathEscape(name) + query
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(r.cfg.User, r.cfg.Password)
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("the management API refuses user %q (%s); it needs the tag management: rabbitmqctl set_user_tags %s management",
			r.cfg.User, reason(body), quote(r.cfg.User))
	case http.StatusNotFound:
		if !speaks(body) {
			return nil, errNoAPI
		}
		return nil, fmt.Errorf("%w (%s)", errMissing, response.Status)
	}
	return nil, fmt.Errorf("the management API answers %s: %s", response.Status, reason(body))
}

// speaks reports whether an answer to what is missing is the API's.
func speaks(body []byte) bool {
	var answer struct {
		Error string `json:"error"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.Error != ""
}

// reason returns what the API says about an error.
func reason(body []byte) string {
	var answer struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Reason == "" {
		return "no reason given"
	}
	return fmt.Sprintf("%.200q", answer.Reason)
}

// quote returns s as one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
