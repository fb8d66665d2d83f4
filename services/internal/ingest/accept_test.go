package ingest

import (
	"net/http"
	"strings"
	"testing"
)

// The page of / is for those who would rather have it than JSON.
func TestCardByQuality(t *testing.T) {
	s := start(t, new(testPublisher))
	for accept, html := range map[string]bool{
		"text/html;q=0, application/json": false, "text/html;q=0": false, "text/html;q=0, */*": false, "text/html;q=0.5, application/json": false,
		"application/json;q=0.5, text/html": true, "application/json;q=0, */*": true, "application/json;q=0.9, text/*": true,
		"text/html, application/json": true, "application/json, text/html": false, "TEXT/HTML; Q=1.0, */*;q=0.1": true, "*/*;q=0.1, text/html;q=0.2": true,
		"*/*": false, "text/*": true, "text/html;q=x": true, "text/html;q=NaN": true, ";;,/": false, "image/png": false, "application/json;q=0": false,
	} {
		got := s.do(t, http.MethodGet, "/", "", "Accept", accept)
		if isHTML := strings.HasPrefix(got.header.Get("Content-Type"), "text/html"); got.status != http.StatusOK || isHTML != html || got.header.Get("Vary") != "Accept" {
			t.Errorf("%q: %d %s", accept, got.status, got.header)
		}
	}
}
