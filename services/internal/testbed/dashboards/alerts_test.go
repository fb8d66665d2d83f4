package dashboards_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/test/dashboards"
)

const rules = "../../../../charts/trailpost/rules/trailpost.yaml"

// Real faults make the alerts fire that are for them, in a Prometheus that has the chart's rules.
// How long a fault must last is left out; promtool's tests of the rules have that.
func TestAlertsFire(t *testing.T) {
	s := testbed.MeasuredServers(t)
	db, vhost := s.Database(t), s.Vhost(t)
	environ := environment(db, vhost)
	p, err := producer.New(load(t, config.ForProducer, environ), logger(t))
	url := start(t, p, err)
	c, err := app.NewConsumer(load(t, config.ForConsumer, environ), logger(t))
	consumerURL, stopConsumer := startStoppable(t, c, err)
	prometheus := alerting{t, startPrometheus(t, map[string]string{
		"trailpost-producer": url, "trailpost-consumer": consumerURL, "trailpost-rabbitmq": s.Rabbit.MetricsURL(),
	}, atOnce(t))}
	rabbit := func(args ...string) {
		t.Helper()
		if _, err := s.Rabbit.Ctl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}

	id := uuid.Must(uuid.NewV7())
	for range 20 {
		post(t, url, id, 1)
		post(t, url, uuid.Must(uuid.NewV7()), 1)
	}
	prometheus.await("all rules are evaluated, and none of them fires", func() error {
		if err := prometheus.healthy(); err != nil {
			return err
		}
		if firing, err := prometheus.firing(); err != nil || len(firing) > 0 {
			return errors.Join(fmt.Errorf("%q fire", firing), err)
		}
		return nil
	})

	post(t, url, id, 2) // another event under the same id
	prometheus.await("a dead letter is seen", func() error { return prometheus.fire("TrailpostDeadLetters") })

	rabbit("set_vm_memory_high_watermark", "0")
	post(t, url, uuid.Must(uuid.NewV7()), 1) // RabbitMQ blocks those who publish
	prometheus.await("an alarm of RabbitMQ is seen", func() error { return prometheus.fire("TrailpostBrokerAlarm", "TrailpostBrokerBlocked") })
	rabbit("set_vm_memory_high_watermark", "0.6")
	prometheus.await("its end is seen", func() error { return prometheus.rest("TrailpostBrokerAlarm", "TrailpostBrokerBlocked") })

	if _, err := db.Connect(t, db.Owner).Exec(t.Context(), dropThisMonth); err != nil {
		t.Fatal(err)
	}
	prometheus.await("a missing partition is seen", func() error { return prometheus.fire("TrailpostPartitionsRunningOut") })

	if err := s.Postgres.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	prometheus.await("a database that is away is seen", func() error { return prometheus.fire("TrailpostDatabaseUnavailable") })
	if err := s.Postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	prometheus.await("its return is seen", func() error { return prometheus.rest("TrailpostDatabaseUnavailable") })

	if err := prometheus.rest("TrailpostNoConsumer"); err != nil {
		t.Error(err)
	}
	stopConsumer()
	prometheus.await("a queue without consumers is seen", func() error { return prometheus.fire("TrailpostNoConsumer", "TrailpostMetricsMissing") })

	if _, err := vhost.Ctl(t.Context(), "set_policy", "small", "^log_queue$", `{"max-length-bytes":1000}`, "--apply-to", "queues"); err != nil {
		t.Fatal(err)
	}
	prometheus.await("a full queue is seen", func() error {
		post(t, url, uuid.Must(uuid.NewV7()), 1)
		return prometheus.fire("TrailpostPublishFailing", "TrailpostAcceptanceBurn")
	})
}

// dropThisMonth drops the partition of now.
const dropThisMonth = `DO $$ BEGIN EXECUTE to_char(now() AT TIME ZONE 'UTC', '"DROP TABLE log_events_y"YYYY"m"MM'); END $$`

// atOnce is a copy of the rules whose alerts don't wait.
func atOnce(t *testing.T) (file string) {
	t.Helper()
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^ *(for|keep_firing_for): .*\n`).ReplaceAll(text, nil)
	file = filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// post sends an event, whatever becomes of it.
func post(t *testing.T, url string, id uuid.UUID, n int) {
	t.Helper()
	body := fmt.Sprintf(`{"session_id":1,"event_type":"user_action","event_id":"%s","payload":{"n":%d}}`, id, n)
	response, err := http.Post(url+"/log", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
	_ = response.Body.Close()
}

// alerting is a Prometheus with rules.
type alerting struct {
	t *testing.T
	dashboards.Prometheus
}

func (a alerting) await(what string, try func() error) {
	a.t.Helper()
	eventually(a.t, what, try)
}

// ask reads what the API has at a path.
func (a alerting) ask(path string, data any) error {
	response, err := http.Get(string(a.Prometheus) + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(&struct{ Data any }{data})
}

// healthy reports whether all rules have been evaluated without an error.
func (a alerting) healthy() error {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := a.ask("/api/v1/rules", &data); err != nil {
		return err
	}
	if len(data.Groups) == 0 {
		return errors.New("no rules")
	}
	for _, group := range data.Groups {
		for _, rule := range group.Rules {
			if rule.Health != "ok" {
				return fmt.Errorf("%s: %s %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
	return nil
}

// fire reports whether these alerts fire.
func (a alerting) fire(names ...string) error {
	firing, err := a.firing()
	for _, name := range names {
		if !slices.Contains(firing, name) {
			return errors.Join(fmt.Errorf("%s does not fire, but %q", name, firing), err)
		}
	}
	return err
}

// rest reports whether none of these alerts fires.
func (a alerting) rest(names ...string) error {
	firing, err := a.firing()
	for _, name := range names {
		if slices.Contains(firing, name) {
			return fmt.Errorf("%s fires", name)
		}
	}
	return err
}

// firing are the names of the alerts that fire.
func (a alerting) firing() (names []string, err error) {
	var data struct {
		Alerts []struct{ Labels map[string]string }
	}
	err = a.ask("/api/v1/alerts", &data)
	for _, alert := range data.Alerts {
		names = append(names, alert.Labels["alertname"])
	}
	slices.Sort(names)
	return slices.Compact(names), err
}
