package app_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/deadletter"
)

// exported tells whether a service's /metrics has a sample, whatever its value.
func exported(t *testing.T, s *service, sample string) bool {
	t.Helper()
	_, body := get(t, s.url+"/metrics")
	return strings.Contains(body, "\n"+sample+" ")
}

// The producer shows the queue while all consumers are stopped.
func TestTheProducerShowsTheQueue(t *testing.T) {
	s := newStack(t)
	producer := s.producer()
	for name, want := range map[string]float64{"trailpost_broker_up": 1, "trailpost_broker_blocked": 0} {
		if !exported(t, producer, name) || metric(t, producer, name) != want {
			t.Errorf("%s is not %v", name, want)
		}
	}
	s.accept(producer, 640)
	eventually(t, "the producer shows what waits", func() bool {
		return metric(t, producer, `trailpost_queue_messages{queue="log_queue",state="ready"}`) >= 10 &&
			exported(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) &&
			metric(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) == 0 &&
			exported(t, producer, `trailpost_dead_letter_messages{queue="log_queue.dead"}`)
	})
	if exported(t, producer, "trailpost_broker_sessions_total") {
		t.Error("the producer exports a consumer's metric")
	}

	consumer := s.consumer()
	if exported(t, consumer, "trailpost_events_published_total") {
		t.Error("the consumer exports a producer's metric")
	}
	s.waitRows(640)
	eventually(t, "nothing waits", func() bool {
		return metric(t, producer, `trailpost_queue_messages{queue="log_queue",state="ready"}`) == 0 &&
			metric(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) == 2
	})
	now := float64(time.Now().Unix())
	eventually(t, "the consumer knows the database", func() bool {
		return metric(t, consumer, "trailpost_database_up") == 1 &&
			metric(t, consumer, "trailpost_database_size_bytes") > 1<<20 &&
			metric(t, consumer, "trailpost_partitions_end_timestamp_seconds") > now+60*86400 &&
			exported(t, consumer, "trailpost_default_partition_rows")
	})
	for sample, want := range map[string]float64{
		"trailpost_broker_up":                                         1,
		"trailpost_oldest_event_in_hand_seconds":                      0,
		`trailpost_queue_messages{queue="log_queue",state="unacked"}`: 0,
	} {
		if !exported(t, consumer, sample) || metric(t, consumer, sample) != want {
			t.Errorf("%s is not %v", sample, want)
		}
	}
}

// Prometheus' own linter has nothing to say about the metrics of a run.
func TestPromtoolLikesTheMetrics(t *testing.T) {
	s := newStack(t)
	producer, consumer := s.producer(), s.consumer()
	ids := s.accept(producer, 64)
	reused := `{"session_id":1,"event_type":"other","event_id":"` + ids[0] + `"}`
	for _, body := range []string{reused, `{"session_id":0}`, `{`} {
		post(t, producer.url+"/log", "application/json", body)
	}
	if letters := s.waitLetters(1); letters[0].Reason != deadletter.ReasonIDReused {
		t.Errorf("%+v", letters)
	}
	for name, service := range map[string]*service{"producer": producer, "consumer": consumer} {
		_, body := get(t, service.url+"/metrics")
		check := exec.Command("promtool", "check", "metrics")
		check.Stdin = strings.NewReader(body)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
