package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tellEvery is how long a start may be silent.
const tellEvery = 10 * time.Second

// startAll starts servers at once and returns when all are ready or have failed. On a busy machine
// that may take minutes: now and then it says which are still to come, so that nobody takes it for
// one that hangs.
func (l *local) startAll(ctx context.Context, every time.Duration, starts map[string]func(context.Context) error) error {
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(starts))
	awaited := map[string]bool{}
	for name, start := range starts {
		awaited[name] = true
		go func() { results <- result{name, start(ctx)} }()
	}
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var errs []error
	for len(awaited) > 0 {
		select {
		case r := <-results:
			delete(awaited, r.name)
			errs = append(errs, r.err)
		case <-tick.C:
			names := strings.Join(slices.Sorted(maps.Keys(awaited)), " and ")
			l.say(fmt.Sprintf("still starting %s, after %.0f s", names, time.Since(began).Seconds()))
		}
	}
	return errors.Join(errs...)
}
