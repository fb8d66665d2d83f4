package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestProfiles(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	taken := ServeProfiles(t.Context(), addr, slog.New(slog.DiscardHandler))
	if taken == nil || !strings.Contains(taken.Error(), "PROFILES_ADDRESS") {
		t.Errorf("on a taken port: %v, want an error that names the setting", taken)
	}
	free.Close()

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeProfiles(ctx, addr, slog.New(slog.DiscardHandler)) }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r, err := http.Get("http://" + addr + "/debug/pprof/goroutine?debug=1")
		if err == nil {
			text, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if !strings.Contains(string(text), "TestProfiles") {
				t.Errorf("the profile does not show this test:\n%s", text)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
}

func TestNoProfiles(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := ServeProfiles(ctx, "", nil); err != nil {
		t.Error(err)
	}
}
