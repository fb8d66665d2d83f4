#!/usr/bin/env bash
# go-retryablehttp's RetryWaitMax, "Maximum time to wait", does not hold for what a server asks in Retry-After: its default
# backoff then waits for that, however long it is, and by default for each of four retries. Nor does RetryWaitMin hold: after
# a date that has passed it does not wait at all. Whoever counts on the 30 s that are the default has a request that is under
# way for an hour because a proxy said so once. (Retry-After of 502 and 504 is not looked at.)
#
# github.com/hashicorp/go-retryablehttp v0.7.8, RetryWaitMin 1 s and RetryWaitMax 2 s; the times are what a client decides to
# wait, and what a request takes at a server that answers 503 once. Seen:
#   503 without Retry-After                      waits 1s
#   503, Retry-After: 3600                       waits 1h0m0s
#   503, Retry-After a date an hour ahead        waits 1h0m0s
#   503, Retry-After a date that has passed      waits 0s
#   502, Retry-After: 3600                       waits 1s
#   a request, Retry-After: 4                    took 4s
# A client of one's own needs a bound of its own: Client.Backoff is where it goes.
#
# Exits 0 if that is so, 1 if not, 2 if it can't be tried. Needs Go 1.23 or newer, and a module proxy.
set -euo pipefail

home=$(mktemp -d)
trap 'chmod -R u+w "$home"; rm -rf "$home"' EXIT
cd "$home"
cat >go.mod <<'MOD'
module finding

go 1.23

require github.com/hashicorp/go-retryablehttp v0.7.8
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const least, most = time.Second, 2 * time.Second

func main() {
	now := time.Now().UTC()
	as := true
	for _, c := range []struct {
		what       string
		status     int
		retryAfter string
		want       time.Duration
	}{
		{"503 without Retry-After", 503, "", least},
		{"503, Retry-After: 3600", 503, "3600", time.Hour},
		{"503, Retry-After a date an hour ahead", 503, now.Add(time.Hour).Format(http.TimeFormat), time.Hour},
		{"503, Retry-After a date that has passed", 503, now.Add(-time.Hour).Format(http.TimeFormat), 0},
		{"502, Retry-After: 3600", 502, "3600", least},
	} {
		answer := &http.Response{StatusCode: c.status, Header: http.Header{}}
		if c.retryAfter != "" {
			answer.Header.Set("Retry-After", c.retryAfter)
		}
		wait := retryablehttp.DefaultBackoff(least, most, 0, answer).Round(time.Minute)
		if c.want < time.Minute {
			wait = retryablehttp.DefaultBackoff(least, most, 0, answer)
		}
		fmt.Printf("%-44s waits %s\n", c.what, wait)
		as = as && wait == c.want
	}

	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 1 {
			w.Header().Set("Retry-After", "4")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	client := retryablehttp.NewClient()
	client.Logger, client.RetryWaitMin, client.RetryWaitMax = nil, least, most
	began := time.Now()
	answer, err := client.Get(server.URL)
	took := time.Since(began)
	if err != nil || answer.StatusCode != http.StatusOK {
		fmt.Println(err)
		os.Exit(2)
	}
	fmt.Printf("%-44s took %s\n", "a request, Retry-After: 4", took.Truncate(time.Second))
	if !as || took < 4*time.Second {
		os.Exit(1)
	}
}
GO
GOFLAGS=-mod=mod go build -o finding . || exit 2
./finding || {
  code=$?
  echo "it is otherwise now" >&2
  exit "$code"
}
