package integration

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// gate is a way to RabbitMQ. While it is shut, what clients say stays on the way.
type gate struct {
	net.Listener
	sync.Mutex
}

func openGate(t *testing.T, host string, port int) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	g := &gate{Listener: listener}
	go func() {
		for {
			client, err := g.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
			go func() { _, _ = io.Copy(slow{server, g}, client); _ = server.Close() }()
		}
	}()
	return g
}

// slow writes while the gate is open.
type slow struct {
	io.Writer
	gate *gate
}

func (s slow) Write(p []byte) (int, error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.Writer.Write(p)
}

// TestRequestTimeout: where RabbitMQ does not confirm, a request is answered when its time is up.
func TestRequestTimeout(t *testing.T) {
	s := pipeline.New(t)
	g := openGate(t, s.Vhost.Host, s.Vhost.Port)
	s.Environ = append(s.Environ, "RABBITMQ_HOST=127.0.0.1", fmt.Sprintf("RABBITMQ_PORT=%d", g.Addr().(*net.TCPAddr).Port), "PRODUCER_REQUEST_TIMEOUT=1s")
	producer := s.Producer()
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", pipeline.Example); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	g.Lock()
	defer g.Unlock()
	for path, body := range map[string]string{"/log": pipeline.Example, "/log/batch": "[" + pipeline.Example + "]"} {
		began := time.Now()
		a := pipeline.Post(t, producer.URL+path, "application/json", body)
		// RABBITMQ_CONFIRM_TIMEOUT, after which it would answer too, is 10 s.
		if took := time.Since(began); a.Code != 503 || took < time.Second || took > 5*time.Second {
			t.Errorf("%s: %d %s after %v, want 503 after a second", path, a.Code, a.Body, took)
		}
	}
}
