// Package dashboards_test runs what test/dashboards asks, and the chart's alerts, against a run of
// the services, which packages outside of services can't start.
package dashboards_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/test/dashboards"
)

const folder = "../../../../charts/trailpost/dashboards"

func TestMain(m *testing.M) { testbed.Main(m) }

// Every panel of every dashboard finds data in a Prometheus that watched a run.
func TestEveryPanelFindsData(t *testing.T) {
	queries, err := dashboards.Queries(folder, dashboards.Values{
		"namespace": "here", "job": "trailpost-producer|trailpost-consumer",
		"broker_namespace": "here", "broker": "trailpost-rabbitmq", "__rate_interval": "10s",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := testbed.MeasuredServers(t)
	environ := environment(s.Database(t), s.Vhost(t))
	p, err := producer.New(load(t, config.ForProducer, environ), logger(t))
	producerURL := start(t, p, err)
	c, err := app.NewConsumer(load(t, config.ForConsumer, environ), logger(t))
	consumerURL := start(t, c, err)
	prometheus := startPrometheus(t, map[string]string{
		"trailpost-producer": producerURL, "trailpost-consumer": consumerURL, "trailpost-rabbitmq": s.Rabbit.MetricsURL(),
	})
	traffic(t, producerURL)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := prometheus.Await(ctx, queries); err != nil {
		t.Error(err)
	}
	t.Logf("%d queries", len(queries))

	// An empty panel would have been noticed, and a wrong query at once.
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	empty := dashboards.Query{Dashboard: "Some dashboard", Panel: "Empty panel", Expr: "sum(trailpost_events_stored)"}
	if err := prometheus.Await(short, append(queries[:1:1], empty)); err == nil || !strings.Contains(err.Error(), "1 queries found nothing") || !strings.Contains(err.Error(), empty.String()) {
		t.Errorf("an empty panel: %v", err)
	}
	if err := prometheus.Await(ctx, []dashboards.Query{{Dashboard: "Some dashboard", Panel: "Wrong panel", Expr: "sum(trailpost_events_stored_total"}}); err == nil || !strings.Contains(err.Error(), "Wrong panel") {
		t.Errorf("a wrong query: %v", err)
	}
}

func environment(db testbed.DB, vhost testbed.Vhost) []string {
	return []string{
		"DATABASE_HOST=" + db.Host,
		"DATABASE_PORT=" + strconv.Itoa(int(db.Port)),
		"DATABASE_NAME=" + db.Name,
		"DATABASE_USER=" + db.Writer.Name,
		"DATABASE_PASSWORD=" + db.Writer.Password,
		"RABBITMQ_HOST=" + vhost.Host,
		"RABBITMQ_PORT=" + strconv.Itoa(vhost.Port),
		"RABBITMQ_USER=" + vhost.User,
		"RABBITMQ_PASSWORD=" + vhost.Password,
		"RABBITMQ_VHOST=" + vhost.Name,
		"PRODUCER_HOST=127.0.0.1", "PRODUCER_PORT=0",
		"CONSUMER_HOST=127.0.0.1", "CONSUMER_PORT=0",
	}
}

func load(t *testing.T, binary config.Binary, environ []string) *config.Config {
	t.Helper()
	cfg, err := config.Load(binary, environ, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// runner is a producer or a consumer.
type runner interface {
	Run(ctx context.Context) error
	Addr() net.Addr
	Ready() error
}

// start runs r until the test ends, and returns its URL when it is ready.
func start(t *testing.T, r runner, err error) string {
	t.Helper()
	url, _ := startStoppable(t, r, err)
	return url
}

// startStoppable is a start of what the test may also stop before its end.
func startStoppable(t *testing.T, r runner, err error) (url string, stop func()) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	eventually(t, "it is ready", r.Ready)
	return "http://" + r.Addr().String(), stop
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// traffic is what clients send until the test ends: good events, alone and in a batch, one
// again, one under an id that is taken, one that is invalid and one that is no JSON.
func traffic(t *testing.T, url string) {
	t.Helper()
	post := func(path, body string, want int) {
		response, err := http.Post(url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		if text, _ := io.ReadAll(response.Body); response.StatusCode != want {
			t.Errorf("%s: %s, want %d: %s", body, response.Status, want, text)
		}
	}
	round := func() {
		const event = `{"session_id":1,"event_type":"user_action","event_id":"%s","payload":{"n":%d}}`
		id := uuid.Must(uuid.NewV7())
		post("/log", fmt.Sprintf(event, id, 1), 202)
		post("/log", fmt.Sprintf(event, id, 1), 202)
		post("/log", fmt.Sprintf(event, id, 2), 202)
		post("/log", `{"session_id":1,"event_type":"of_its_own","colour":"blue"}`, 202)
		post("/log/batch", `[`+strings.Repeat(`{"session_id":1,"event_type":"user_action"},`, 99)+`{"session_id":2,"event_type":"user_action"}]`, 202)
		post("/log", `{"session_id":0}`, 422)
		post("/log", `{`, 400)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			round()
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
}

// startPrometheus scrapes the jobs' URLs, and evaluates the rules of files, every second until the
// test ends.
func startPrometheus(t *testing.T, jobs map[string]string, ruleFiles ...string) dashboards.Prometheus {
	t.Helper()
	var file strings.Builder
	file.WriteString("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\n")
	fmt.Fprintf(&file, "rule_files: [%s]\nscrape_configs:\n", strings.Join(ruleFiles, ", "))
	for job, url := range jobs {
		address := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics")
		fmt.Fprintf(&file, "  - job_name: %[1]s\n    static_configs:\n      - targets: [%[2]q]\n        labels: {namespace: here, pod: %[1]s-0}\n", job, address)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := devservers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	// It ends with its standard input, and so with this process, whatever ends that.
	const untilClosed = `"$@" & read -r _; kill $!; wait $!`
	server := exec.Command("/bin/sh", "-c", untilClosed, "sh", "prometheus",
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	var log strings.Builder
	server.Stdout, server.Stderr = &log, &log
	life, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = life.Close()
		_ = server.Wait() // it was killed
		if t.Failed() {
			t.Logf("Prometheus (hack/install-packages prometheus installs it) logged:\n%s", log.String())
		}
	})
	eventually(t, "Prometheus is ready", func() error {
		response, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", response.Status)
		}
		return nil
	})
	return dashboards.Prometheus("http://" + address)
}
