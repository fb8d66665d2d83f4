package operations

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
	"github.com/trailpost/trailpost/test/golden"
)

// The producer shows the queue while all consumers are stopped.
func TestTheProducerShowsTheQueue(t *testing.T) {
	s := pipeline.New(t)
	producer := s.Producer()
	for name, want := range map[string]float64{"trailpost_broker_up": 1, "trailpost_broker_blocked": 0} {
		if !pipeline.Exported(t, producer, name) || pipeline.Metric(t, producer, name) != want {
			t.Errorf("%s is not %v", name, want)
		}
	}
	s.Accept(producer, 640)
	pipeline.Eventually(t, "the producer shows what waits", func() bool {
		return pipeline.Metric(t, producer, `trailpost_queue_messages{queue="log_queue",state="ready"}`) >= 10 &&
			pipeline.Exported(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) &&
			pipeline.Metric(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) == 0 &&
			pipeline.Exported(t, producer, `trailpost_dead_letter_messages{queue="log_queue.dead"}`)
	})
	if pipeline.Exported(t, producer, "trailpost_broker_sessions_total") {
		t.Error("the producer exports a consumer's metric")
	}

	consumer := s.Consumer()
	if pipeline.Exported(t, consumer, "trailpost_events_published_total") {
		t.Error("the consumer exports a producer's metric")
	}
	s.WaitRows(640)
	pipeline.Eventually(t, "nothing waits", func() bool {
		return pipeline.Metric(t, producer, `trailpost_queue_messages{queue="log_queue",state="ready"}`) == 0 &&
			pipeline.Metric(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) == 2
	})
	now := float64(time.Now().Unix())
	pipeline.Eventually(t, "the consumer knows the database", func() bool {
		return pipeline.Metric(t, consumer, "trailpost_database_up") == 1 &&
			pipeline.Metric(t, consumer, "trailpost_database_size_bytes") > 1<<20 &&
			pipeline.Metric(t, consumer, "trailpost_partitions_end_timestamp_seconds") > now+60*86400 &&
			pipeline.Exported(t, consumer, "trailpost_default_partition_rows") &&
			pipeline.Metric(t, consumer, "trailpost_horizon_noted_timestamp_seconds") > now-600
	})
	for sample, want := range map[string]float64{
		"trailpost_broker_up":                                         1,
		"trailpost_oldest_event_in_hand_seconds":                      0,
		`trailpost_queue_messages{queue="log_queue",state="unacked"}`: 0,
	} {
		if !pipeline.Exported(t, consumer, sample) || pipeline.Metric(t, consumer, sample) != want {
			t.Errorf("%s is not %v", sample, want)
		}
	}
}

const (
	metricsHint  = "go test ./services/internal/integration/operations -run TestMetricsAreDocumented -update"
	metricsBegin = "<!-- metrics: made by `" + metricsHint + "` -->\n"
)

// Prometheus' own linter has nothing to say about the metrics of a run, and docs/metrics.md
// lists them.
func TestMetricsAreDocumented(t *testing.T) {
	certificate, key := selfSigned(t)
	s := pipeline.New(t, "PRODUCER_TLS_CERT_FILE="+certificate, "PRODUCER_TLS_KEY_FILE="+key, "PRODUCER_API_KEYS_FILE="+keysFile(t),
		"DATABASE_SSLMODE=disable", "DATABASE_SSLROOTCERT="+certificate, "RABBITMQ_MANAGEMENT_URL=http://127.0.0.1:1", "RABBITMQ_ALLOW_LOSSY_POLICIES=true")
	producer, consumer := s.Producer(), s.Consumer()
	producer.URL = strings.Replace(producer.URL, "http:", "https:", 1)
	ids := s.Accept(producer, 64)
	reused := `{"session_id":1,"event_type":"other","event_id":"` + ids[0] + `"}`
	for _, body := range []string{reused, `{"session_id":0}`, `{`} {
		pipeline.Post(t, producer.URL+"/log", "application/json", body)
	}
	if letters := s.WaitLetters(1); letters[0].Reason != deadletter.ReasonIDReused {
		t.Errorf("%+v", letters)
	}
	pipeline.Eventually(t, "the queue's depth and the database are known", func() bool {
		return pipeline.Exported(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) &&
			pipeline.Exported(t, consumer, `trailpost_queue_consumers{queue="log_queue"}`) &&
			pipeline.Exported(t, consumer, "trailpost_database_size_bytes") && pipeline.Exported(t, consumer, "trailpost_default_partition_rows") &&
			pipeline.Exported(t, consumer, "trailpost_horizon_noted_timestamp_seconds")
	})
	var all documented
	for name, service := range map[string]*pipeline.Service{"producer": producer, "consumer": consumer} {
		_, body := pipeline.Get(t, service.URL+"/metrics")
		check := exec.Command("promtool", "check", "metrics")
		check.Stdin = strings.NewReader(body)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		all.read(name, body)
	}
	golden.Block(t, "docs/metrics.md", metricsBegin, all.table(), metricsHint)
}

// documented are metrics by their names.
type documented map[string]*description

type description struct {
	help, kind string
	labels, by map[string]bool
}

var (
	helpLine   = regexp.MustCompile(`(?m)^# HELP (trailpost_\w+) (.+)$`)
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (trailpost_\w+) (\w+)$`)
	sampleLine = regexp.MustCompile(`(?m)^(trailpost_\w+?)(?:_bucket|_sum|_count)?\{(.+)\} `)
	labelName  = regexp.MustCompile(`(\w+)="`)
)

// read takes note of our metrics in the text that a service answers to Prometheus.
func (d *documented) read(service, body string) {
	if *d == nil {
		*d = documented{}
	}
	for _, m := range helpLine.FindAllStringSubmatch(body, -1) {
		if (*d)[m[1]] == nil {
			(*d)[m[1]] = &description{help: m[2], labels: map[string]bool{}, by: map[string]bool{}}
		}
		(*d)[m[1]].by[service] = true
	}
	for _, m := range typeLine.FindAllStringSubmatch(body, -1) {
		(*d)[m[1]].kind = m[2]
	}
	for _, m := range sampleLine.FindAllStringSubmatch(body, -1) {
		for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
			if metric := (*d)[m[1]]; metric != nil && label[1] != "le" {
				metric.labels[label[1]] = true
			}
		}
	}
}

func (d documented) table() string {
	var b strings.Builder
	b.WriteString("\n| metric | type | of | |\n| --- | --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(d)) {
		m := d[name]
		labels := ""
		if len(m.labels) > 0 {
			labels = "{" + strings.Join(slices.Sorted(maps.Keys(m.labels)), ",") + "}"
		}
		by := slices.Sorted(maps.Keys(m.by))
		slices.Reverse(by) // an event meets the producer first
		fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s |\n", name, labels, m.kind, strings.Join(by, ", "), m.help)
	}
	b.WriteString("\n")
	return b.String()
}

// selfSigned makes a certificate for the loopback.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("tls.crt", "CERTIFICATE", public), write("tls.key", "PRIVATE KEY", secret)
}
