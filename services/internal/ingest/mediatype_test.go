package ingest

import (
	"net/http"
	"strings"
	"testing"
)

// Lines of JSON have a place, which whoever sends them elsewhere is told.
func TestLinesAreToldTheirPlace(t *testing.T) {
	for contentType, told := range map[string]bool{"application/x-ndjson": true, "application/jsonl; charset=utf-8": true, "text/plain": false} {
		_, err := eventRules.mediaTypes.of(http.Header{"Content-Type": {contentType}})
		if err == nil || strings.Contains(asProblem(err).detail, "/log/batch") != told {
			t.Errorf("%q: %v", contentType, asProblem(err).detail)
		}
	}
}
