package testbed

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestMeasuredServers(t *testing.T) {
	response, err := http.Get(MeasuredServers(t).Rabbit.MetricsURL())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nrabbitmq_build_info{") {
		t.Errorf("%s: %s", response.Status, text)
	}
}
