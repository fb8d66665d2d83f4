package config

import (
	"strings"
	"testing"
)

// Origins that browsers send are taken; for others it is said what they send.
func TestOrigins(t *testing.T) {
	for _, good := range []string{
		"*", "https://app.example.org", "http://localhost:3000", "https://a:80", "http://a:443", "https://a, http://b:8080,", "https://App.Example.org",
		"https://xn--bcher-kva.example", "https://127.0.0.1", "https://[::1]:3000", "https://a_b.example", "https://a.example.", "https://[::ffff:102:304]",
	} {
		if got := load(t, ForProducer, "PRODUCER_CORS_ORIGINS="+good).Producer.CORSOrigins; string(got) != strings.TrimSpace(good) {
			t.Errorf("%q became %q", good, got)
		}
	}
	for bad, want := range map[string]string{
		"https://a:443":            "origins as browsers send them: https://a in place of \"https://a:443\"",
		"http://a:80":              "browsers send them: http://a in place of",
		"https://b, https://a:443": "https://a in place of \"https://a:443\"",
		"https://a:":               "https://a in place of",
		"https://a:08080":          "https://a:8080 in place of",
		"https://a/":               "https://a in place of",
		"https://a/path?q#f":       "https://a in place of",
		"https://u:p@a":            "https://a in place of",
		"app.example.org":          "https://app.example.org in place of",
		"https://[0:0:0:0::1]":     "https://[::1] in place of",
		"https://bücher.example":   "must have its host in ASCII, as browsers send it (xn--…)",
		"https://:3000":            "\"https://:3000\" names no host",
		"https://":                 "names no host",
		"a:99999":                  "\"a:99999\" has no port from 1 to 65535",
		"https://a:0":              "has no port from 1 to 65535",
		"https://a:x":              "is malformed",
		"https://127.1":            "names no host, nor an address",
		"https://*.example.org":    "is a pattern: name each origin",
		"ftp://a":                  "is malformed",
		"null":                     "null is any page's",
		",":                        "origins such as",
		" , ":                      "origins such as",
	} {
		if got := faults(t, ForProducer, t.TempDir(), "PRODUCER_CORS_ORIGINS="+bad); !strings.HasPrefix(got, "PRODUCER_CORS_ORIGINS: must be origins ") || !strings.Contains(got, want) {
			t.Errorf("%q: %s", bad, got)
		}
	}
}
