package ingest

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzMediaTypes: a body is read as what its headers say, and by nothing but one of
// the names that the route lists.
func FuzzMediaTypes(f *testing.F) {
	for _, seed := range []string{
		"application/json", "Application/JSON ; charset=\"UTF-8\"", "application/x-ndjson;charset=latin1", "application/json; charset",
		"application/json, application/x-ndjson", " ", ";charset=utf-8", "application/jsonl;charset*=utf-8''utf-8", "application/json;charset*0=utf;charset*1=-8",
	} {
		f.Add(seed, "")
	}
	f.Add("application/json", "gzip")
	f.Add("", "identity, identity")
	f.Fuzz(func(t *testing.T, contentType, encoding string) {
		for _, types := range []mediaTypes{eventRules.mediaTypes, batchRules.mediaTypes} {
			got, err := types.of(http.Header{"Content-Type": {contentType}, "Content-Encoding": {encoding}})
			if err != nil {
				if p := asProblem(err); p.kind != kindMediaType || p.detail == "" || strings.Contains(p.detail, contentType) && len(contentType) > len("application/x-ndjson") {
					t.Fatalf("%q, %q: %v", contentType, encoding, err)
				}
				continue
			}
			name, _, _ := strings.Cut(contentType, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			want, listed := types[name]
			if !listed || got != want {
				t.Fatalf("%q was read as %d; %q is listed: %t", contentType, got, name, listed)
			}
			if e := strings.TrimSpace(encoding); e != "" && !strings.EqualFold(e, "identity") {
				t.Fatalf("the encoding %q was let in", encoding)
			}
		}
	})
}
