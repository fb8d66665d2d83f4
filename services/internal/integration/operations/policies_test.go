package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/policy"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// managed is a broker with its management API, whose owner sets policies of his own.
type managed struct{ *testbed.Servers }

// owner asks the API as the broker's owner.
func (m managed) owner(t *testing.T, method, path string, body any) (answer string) {
	t.Helper()
	status, answer := m.as(t, m.Rabbit.User.Name, m.Rabbit.User.Password, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d: %s", method, path, status, answer)
	}
	return answer
}

// as asks the API as somebody else.
func (m managed) as(t *testing.T, user, password, method, path string, body any) (status int, answer string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, m.Rabbit.ManagementURL()+"/api/"+path, strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(user, password)
	request.Header.Set("Content-Type", "application/json")
	response, err := pipeline.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

type definition map[string]any

// set sets a policy; kind is policies or operator-policies.
func (m managed) set(t *testing.T, s *pipeline.Pipeline, kind, pattern string, d definition) (unset func()) {
	t.Helper()
	path := kind + "/" + url.PathEscape(s.Vhost.Name) + "/theirs"
	m.owner(t, http.MethodPut, path, map[string]any{"pattern": pattern, "definition": d, "priority": 100, "apply-to": "queues"})
	return func() { m.owner(t, http.MethodDelete, path, nil) }
}

func (m managed) stack(t *testing.T, settings ...string) *pipeline.Pipeline {
	t.Helper()
	return pipeline.On(t, m.Database(t), m.Vhost(t), append(settings, "RABBITMQ_MANAGEMENT_URL="+m.Rabbit.ManagementURL())...)
}

// Policies of others, each of which loses what RabbitMQ has confirmed where nobody looks.
func TestPolicies(t *testing.T) {
	t.Parallel()
	m := managed{testbed.ManagedServers(t, nil)}
	t.Run("while the broker runs", func(t *testing.T) {
		t.Run("events", m.testEvents)
		t.Run("events of a classic queue", m.testClassicEvents)
		t.Run("letters", m.testLetters)
		t.Run("lists", m.testLists)
		t.Run("the broker's own letters", m.testBrokersLetters)
		t.Run("letters before the first answer", m.testFirstAnswer)
		t.Run("a user without the tag", m.testUntagged)
		t.Run("users as the manifests make them", m.testTagged)
	})
	m.testPage(t)
	m.testLastAnswer(t)
}

var pagePolicies = regexp.MustCompile("(?s)<!-- run by: TestPolicies -->\n```bash\n(.*?)```\n")

// testPage: with the policies of docs/operating.md those of others do no harm.
func (m managed) testPage(t *testing.T) {
	s := m.stack(t)
	text, err := os.ReadFile("../../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := pagePolicies.FindSubmatch(text)
	if commands == nil {
		t.Fatal("the page has no policies")
	}
	m.set(t, s, "policies", ".*", definition{"max-length": 5, "overflow": "drop-head", "message-ttl": 1000, "delivery-limit": 3})
	operator := m.set(t, s, "operator-policies", ".*", definition{"max-length": 1_000_000})
	defer operator()
	script := "rabbitmqctl() { " + m.Rabbit.Tool("rabbitmqctl") + "; }\n" +
		strings.ReplaceAll(string(commands[1]), "set_policy ", "set_policy -p "+s.Vhost.Name+" ")
	shell := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
	shell.Env = append(os.Environ(), m.Rabbit.Environment()...)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	publisher := admin.NewConfirmingPublisher(s.Broker()) // declares the queues
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), "log_queue", []broker.Message{{ContentType: broker.ContentEvent, Body: poison(0).Body}}); err != nil {
		t.Fatal(err)
	}
	w := app.Policies(s.Config(config.ForProducer), slog.New(slog.DiscardHandler))
	pipeline.Eventually(t, "policies are known", func() bool { return w.Read(t.Context()) == nil })
	for _, f := range w.Findings() {
		if f.Effect != policy.Refuses { // a dead-letter queue with a limit, which the operator policy gives it
			t.Errorf("found %+v", f)
		}
	}
}

const anEvent = `{"session_id":1,"event_type":"user_action"}`

// refuses waits until the producer answers 503 for a policy.
func refuses(t *testing.T, p *pipeline.Service, reason string) pipeline.Answer {
	t.Helper()
	var got pipeline.Answer
	pipeline.Eventually(t, "events are refused for "+reason, func() bool {
		got = pipeline.Post(t, p.URL+"/log", "application/json", anEvent)
		return got.Code == http.StatusServiceUnavailable
	})
	if !strings.Contains(got.Body, "urn:trailpost:problem:lossy-policy") || !strings.Contains(got.Detail, reason) || got.Header.Get("Retry-After") == "" {
		t.Errorf("the refusal is %s", got.Body)
	}
	return got
}

func finding(queue, key, effect string) string {
	return fmt.Sprintf("trailpost_policy_finding{effect=%q,key=%q,queue=%q}", effect, key, queue)
}

func (m managed) testEvents(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	log := s.Logged()
	p := s.Producer()
	if got := pipeline.Post(t, p.URL+"/log", "application/json", anEvent); got.Code != http.StatusAccepted {
		t.Fatalf("without a policy: %s", got.Body)
	}
	unset := m.set(t, s, "policies", ".*", definition{"max-length": 5, "overflow": "drop-head"})
	refuses(t, p, `"log_queue" drops its oldest events beyond 5 messages, although it confirmed them: overflow is drop-head (max-length, by policy theirs)`)
	if got := pipeline.Post(t, p.URL+"/log/batch", "application/json", "["+anEvent+"]"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("a batch: %s", got.Body)
	}
	if code, body := pipeline.Get(t, p.URL+"/health"); code != http.StatusServiceUnavailable || !strings.Contains(body, "by policy theirs") {
		t.Errorf("/health: %d %s", code, body)
	}
	if code, body := pipeline.Get(t, p.URL+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if pipeline.Metric(t, p, finding("log_queue", "max-length", "drops")) != 1 {
		t.Error("no metric tells of it")
	}
	if !strings.Contains(log.String(), "a policy of the broker does harm") {
		t.Errorf("no warning tells of it:\n%s", log)
	}

	daring := *s
	daring.Environ = append(daring.Environ, "RABBITMQ_ALLOW_LOSSY_POLICIES=true")
	accepting := daring.Producer()
	pipeline.Eventually(t, "the other knows", func() bool { return pipeline.Metric(t, accepting, finding("log_queue", "max-length", "drops")) == 1 })
	if got := pipeline.Post(t, accepting.URL+"/log", "application/json", anEvent); got.Code != http.StatusAccepted {
		t.Errorf("with RABBITMQ_ALLOW_LOSSY_POLICIES: %s", got.Body)
	}

	unset()
	pipeline.Eventually(t, "events are accepted again", func() bool {
		return pipeline.Post(t, p.URL+"/log", "application/json", anEvent).Code == http.StatusAccepted
	})
	if pipeline.Metric(t, p, finding("log_queue", "max-length", "drops")) != 0 {
		t.Error("the metric tells of what is over")
	}
	m.set(t, s, "operator-policies", "^log_queue$", definition{"message-ttl": 60_000})
	refuses(t, p, "(message-ttl, by operator policy theirs)")
}

// A classic queue tells of its policies when it does something: somebody has to ask it.
func (m managed) testClassicEvents(t *testing.T) {
	t.Parallel()
	s := m.stack(t, "RABBITMQ_QUEUE_TYPE=classic")
	p := s.Producer()
	pipeline.Eventually(t, "policies are known", func() bool {
		return pipeline.Exported(t, p, "trailpost_policy_age_seconds") && m.knows(t, s)
	})
	m.set(t, s, "policies", ".*", definition{"max-length": 5})
	pipeline.Eventually(t, "the producer knows", func() bool { return pipeline.Metric(t, p, finding("log_queue", "max-length", "drops")) == 1 })
	refuses(t, p, "overflow is drop-head")
}

// knows reports whether the API has anything of the queue's policies.
func (m managed) knows(t *testing.T, s *pipeline.Pipeline) bool {
	return strings.Contains(m.owner(t, http.MethodGet, "queues/"+url.PathEscape(s.Vhost.Name)+"/log_queue", nil), "effective_policy_definition")
}

// poison is what can't be stored.
func poison(n int) amqp.Publishing {
	return amqp.Publishing{ContentType: broker.ContentEvent, Body: fmt.Appendf(nil, "no event %d", n)}
}

// Five letters, and a dead-letter queue for two of them: the consumer keeps the messages.
func (m managed) testLetters(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	c := s.Consumer()
	unset := m.set(t, s, "policies", `^log_queue\.dead$`, definition{"max-length": 2})
	pipeline.Eventually(t, "the consumer knows", func() bool { return pipeline.Metric(t, c, finding("log_queue.dead", "max-length", "drops")) == 1 })
	for i := range 5 {
		s.Publish(poison(i))
	}
	var reason string
	pipeline.Eventually(t, "the consumer is not ready", func() bool {
		code, body := pipeline.Get(t, c.URL+"/readyz")
		reason = body
		return code == http.StatusServiceUnavailable
	})
	if !strings.Contains(reason, `drops its oldest dead letters beyond 2 messages`) {
		t.Errorf("it is not ready for %s", reason)
	}
	if letters := s.Letters(); len(letters) > 0 {
		t.Errorf("letters where they would be lost: %+v", letters)
	}
	unset()
	s.WaitLetters(5)
	pipeline.Eventually(t, "the consumer is ready", func() bool {
		code, _ := pipeline.Get(t, c.URL+"/readyz")
		return code == http.StatusOK
	})
}

// By a small delivery limit the broker itself moves events to a dead-letter queue that drops: no
// consumer can hold those, so no event is taken. Either policy alone loses nothing, where log_queue
// has a limit that is large enough: RabbitMQ's default since 4.0 is not.
func (m managed) testBrokersLetters(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	p := s.Producer()
	m.set(t, s, "policies", `^log_queue$`, definition{"delivery-limit": 1000})
	m.set(t, s, "operator-policies", `^log_queue\.dead$`, definition{"max-length": 2})
	pipeline.Eventually(t, "the producer knows", func() bool { return pipeline.Metric(t, p, finding("log_queue.dead", "max-length", "drops")) == 1 })
	pipeline.Eventually(t, "events are accepted with a dead-letter queue that drops", func() bool {
		return pipeline.Post(t, p.URL+"/log", "application/json", anEvent).Code == http.StatusAccepted
	})
	m.set(t, s, "policies", `^log_queue$`, definition{"delivery-limit": 3})
	refuses(t, p, `came back 3 times`)
	refuses(t, p, `drops its oldest dead letters beyond 2 messages`)
}

// A consumer that starts while the API does not answer yet holds its letters until it knows where
// they go.
func (m managed) testFirstAnswer(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	publisher := admin.NewConfirmingPublisher(s.Broker()) // declares the queues
	defer publisher.Close()
	m.set(t, s, "policies", `^log_queue\.dead$`, definition{"max-length": 2})
	var letters []broker.Message
	for i := range 5 {
		letters = append(letters, broker.Message{ContentType: broker.ContentEvent, Body: poison(i).Body})
	}
	target, err := url.Parse(m.Rabbit.ManagementURL())
	if err != nil {
		t.Fatal(err)
	}
	var open atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(target)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			http.Error(w, "{}", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	s.Environ = append(s.Environ, "RABBITMQ_MANAGEMENT_URL="+slow.URL)
	log := s.Logged()
	c := s.Consumer()
	if err := publisher.Publish(t.Context(), "log_queue", letters); err != nil {
		t.Fatal(err)
	}
	pipeline.Eventually(t, "the consumer holds the letters", func() bool {
		return strings.Contains(log.String(), "the policies of RabbitMQ are not known yet")
	})
	open.Store(true)
	pipeline.Eventually(t, "the consumer knows", func() bool { return pipeline.Metric(t, c, finding("log_queue.dead", "max-length", "drops")) == 1 })
	if got := s.Letters(); len(got) > 0 {
		t.Errorf("letters where they are lost: %+v", got)
	}
}

// A smaller delivery limit than the dead-letter queue's own holds, and 25 lists would be more than
// it allows.
func (m managed) testLists(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	publisher := admin.NewConfirmingPublisher(s.Broker())
	defer publisher.Close()
	letters := make([]broker.Message, 5)
	for i := range letters {
		letters[i] = broker.Message{ContentType: broker.ContentEvent, Body: poison(i).Body}
	}
	if err := publisher.Publish(t.Context(), "log_queue.dead", letters); err != nil {
		t.Fatal(err)
	}
	m.set(t, s, "operator-policies", ".*", definition{"delivery-limit": 20})
	check := func(use app.LetterUse, settings ...string) (notes string, err error) {
		one := *s
		one.Environ = append(one.Environ, settings...)
		var b strings.Builder
		err = app.CheckLetterPolicies(t.Context(), one.Config(config.ForLetters), use, &b)
		return b.String(), err
	}
	pipeline.Eventually(t, "a list is refused", func() bool {
		_, err := check(app.ListLetters)
		return err != nil && strings.Contains(err.Error(), `drops a dead letter that was given back 20 times`)
	})
	if _, err := check(app.ReplaySome); err == nil {
		t.Error("a replay of some gives back the others")
	}
	if _, err := check(app.ReplayAll); err == nil {
		t.Error("a replay of all gives back what log_queue refuses")
	}
	if _, err := check(app.ListLetters, "RABBITMQ_MANAGEMENT_URL=http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Errorf("a list while nobody knows the policies: %v", err)
	}
	for _, accepted := range []string{"RABBITMQ_ALLOW_LOSSY_POLICIES=true", "RABBITMQ_MANAGEMENT_URL="} {
		if notes, err := check(app.ListLetters, accepted); err != nil || notes == "" {
			t.Errorf("%s: %v, notes %q", accepted, err, notes)
		}
	}
	if got := s.Letters(); len(got) != 5 {
		t.Errorf("%d letters, want 5", len(got))
	}
}

func (m managed) testUntagged(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	m.owner(t, http.MethodPut, "users/plain", map[string]any{"password": "plain", "tags": ""})
	m.owner(t, http.MethodPut, "permissions/"+url.PathEscape(s.Vhost.Name)+"/plain", map[string]any{"configure": ".*", "write": ".*", "read": ".*"})
	s.Environ = append(s.Environ, "RABBITMQ_USER=plain", "RABBITMQ_PASSWORD=plain")
	log := s.Logged()
	p := s.Producer() // ready, although nobody knows the policies
	pipeline.Eventually(t, "the log says what to do", func() bool {
		return strings.Contains(log.String(), "it needs the tag management: rabbitmqctl set_user_tags 'plain' management")
	})
	if got := pipeline.Post(t, p.URL+"/log", "application/json", anEvent); got.Code != http.StatusAccepted {
		t.Errorf("%s", got.Body)
	}
	m.owner(t, http.MethodPut, "users/plain", map[string]any{"password": "plain", "tags": "management"})
	pipeline.Eventually(t, "policies are read", func() bool { return strings.Contains(log.String(), "policies of the broker are read") })
}

// testTagged: users with the tags and rights of the manifests read their queues' policies, and by
// HTTP can do no more than by AMQP. SECURITY.md says the same.
func (m managed) testTagged(t *testing.T) {
	t.Parallel()
	s := m.stack(t)
	text, err := os.ReadFile("../../../../k8s/base/rabbitmq/definitions.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifests struct {
		Users []struct {
			Name string
			Tags []string
		}
		Permissions []struct{ User, Configure, Write, Read string }
	}
	if err := json.Unmarshal(text, &manifests); err != nil {
		t.Fatal(err)
	}
	publisher := admin.NewConfirmingPublisher(s.Broker()) // declares the queues
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), "log_queue", []broker.Message{{ContentType: broker.ContentEvent, Body: poison(0).Body}}); err != nil {
		t.Fatal(err)
	}
	for _, u := range manifests.Users {
		if u.Name == "producer" || u.Name == "consumer" {
			m.owner(t, http.MethodPut, "users/"+u.Name, map[string]any{"password": u.Name, "tags": strings.Join(u.Tags, ",")})
		}
	}
	vhost := url.PathEscape(s.Vhost.Name)
	for _, p := range manifests.Permissions {
		if p.User == "producer" || p.User == "consumer" {
			m.owner(t, http.MethodPut, "permissions/"+vhost+"/"+p.User, map[string]any{"configure": p.Configure, "write": p.Write, "read": p.Read})
		}
	}
	get := map[string]any{"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
	drops := map[string]any{"pattern": ".*", "definition": definition{"max-length": 1}}
	for _, user := range []string{"producer", "consumer"} {
		for _, c := range []struct {
			method, path string
			body         any
			allowed      bool
		}{
			{"GET", "queues/" + vhost + "/log_queue", nil, true},
			{"GET", "queues/" + vhost + "/log_queue.dead", nil, true},
			{"POST", "queues/" + vhost + "/log_queue/get", get, user == "consumer"},
			{"POST", "queues/" + vhost + "/log_queue.dead/get", get, user == "consumer"},
			{"DELETE", "queues/" + vhost + "/log_queue.dead/contents", nil, user == "consumer"},
			{"DELETE", "queues/" + vhost + "/log_queue", nil, false},
			{"PUT", "queues/" + vhost + "/mine", map[string]any{}, false},
			{"POST", "bindings/" + vhost + "/e/amq.fanout/q/log_queue", map[string]any{}, false},
			{"PUT", "policies/" + vhost + "/mine", drops, false},
			{"PUT", "operator-policies/" + vhost + "/mine", drops, false},
			{"PUT", "users/mine", map[string]any{"password": "x", "tags": "administrator"}, false},
			{"PUT", "permissions/" + vhost + "/" + user, map[string]any{"configure": ".*", "write": ".*", "read": ".*"}, false},
			{"GET", "users", nil, false},
			{"GET", "definitions", nil, false},
			{"GET", "definitions/" + vhost, nil, false},
			{"GET", "queues/%2F", nil, false}, // the other virtual host
		} {
			status, answer := m.as(t, user, user, c.method, c.path, c.body)
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden ||
				status == http.StatusNotFound && c.path == "queues/%2F" // 4.3 does not say that there is such a virtual host
			if c.allowed && status >= 300 || !c.allowed && !refused {
				t.Errorf("the %s's password: %s %s: %d %.200s", user, c.method, c.path, status, answer)
			}
		}
	}
}

// testLastAnswer: what was known holds while the API is away, and its age grows.
func (m managed) testLastAnswer(t *testing.T) {
	s := m.stack(t)
	publisher := admin.NewConfirmingPublisher(s.Broker()) // declares the queues
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), "log_queue", []broker.Message{{ContentType: broker.ContentEvent, Body: poison(0).Body}}); err != nil {
		t.Fatal(err)
	}
	m.set(t, s, "policies", ".*", definition{"expires": 3_600_000})
	w := app.Policies(s.Config(config.ForProducer), slog.New(slog.DiscardHandler))
	pipeline.Eventually(t, "the policy is known", func() bool { return w.Read(t.Context()) == nil && w.Events() != nil && w.Letters() != nil })
	if err := m.Rabbit.Kill(); err != nil {
		t.Fatal(err)
	}
	before, _ := w.Age()
	if err := w.Read(context.Background()); err == nil {
		t.Error("a broker that is gone tells its policies")
	}
	if age, known := w.Age(); !known || age <= before || w.Events() == nil {
		t.Errorf("what was known is gone: age %s, known: %t, %v", age, known, w.Events())
	}
	var none *policy.Watcher
	if none.Events() != nil || none.Letters() != nil {
		t.Error("who knows nothing refuses")
	}
}
