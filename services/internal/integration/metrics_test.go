package integration

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
	"github.com/trailpost/trailpost/test/golden"
)

// exported reports whether a service's /metrics has a sample, whatever its value.
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
			exported(t, consumer, "trailpost_default_partition_rows") &&
			metric(t, consumer, "trailpost_horizon_noted_timestamp_seconds") > now-600
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

const (
	metricsHint  = "go test ./services/internal/integration -run TestMetricsAreDocumented -update"
	metricsBegin = "<!-- metrics: made by `" + metricsHint + "` -->\n"
)

// Prometheus' own linter has nothing to say about the metrics of a run, and docs/metrics.md
// lists them.
func TestMetricsAreDocumented(t *testing.T) {
	certificate, key := selfSigned(t)
	s := newStack(t, "PRODUCER_TLS_CERT_FILE="+certificate, "PRODUCER_TLS_KEY_FILE="+key, "PRODUCER_API_KEYS_FILE="+keysFile(t),
		"DATABASE_SSLMODE=disable", "DATABASE_SSLROOTCERT="+certificate, "RABBITMQ_MANAGEMENT_URL=http://127.0.0.1:1", "RABBITMQ_ALLOW_LOSSY_POLICIES=true")
	producer, consumer := s.producer(), s.consumer()
	producer.url = strings.Replace(producer.url, "http:", "https:", 1)
	ids := s.accept(producer, 64)
	reused := `{"session_id":1,"event_type":"other","event_id":"` + ids[0] + `"}`
	for _, body := range []string{reused, `{"session_id":0}`, `{`} {
		post(t, producer.url+"/log", "application/json", body)
	}
	if letters := s.waitLetters(1); letters[0].Reason != deadletter.ReasonIDReused {
		t.Errorf("%+v", letters)
	}
	eventually(t, "the queue's depth and the database are known", func() bool {
		return exported(t, producer, `trailpost_queue_consumers{queue="log_queue"}`) &&
			exported(t, consumer, `trailpost_queue_consumers{queue="log_queue"}`) &&
			exported(t, consumer, "trailpost_database_size_bytes") && exported(t, consumer, "trailpost_default_partition_rows") &&
			exported(t, consumer, "trailpost_horizon_noted_timestamp_seconds")
	})
	var all documented
	for name, service := range map[string]*service{"producer": producer, "consumer": consumer} {
		_, body := get(t, service.url+"/metrics")
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
