package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// pipelineEvents is how many events a message has where the latency's load, some 3,700 a second, is published at the
// producer's pace.
const pipelineEvents = 4

// latencyLimit is what latency can reach at most: the time from a message's confirm to its rows' commit, with a bare
// publisher, and with bare workers that store what comes. It has nothing of Trailpost in it.
func latencyLimit(ctx context.Context, b *bench, r *report) error {
	if err := b.clean(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, warmUp+3*b.duration)
	defer cancel()
	from := time.Now().Add(warmUp)
	message := persistent(batchOf(mediaLines, pipelineEvents, payload))
	message.Headers = amqp.Table{"events": int32(pipelineEvents)}

	var confirms []time.Time // by the message's number
	var mu sync.Mutex
	commits := map[int]time.Time{}
	worker := func(ch *amqp.Channel) error {
		return b.storeBare(ctx, ch, pipelineLinger, func(messages []amqp.Delivery) {
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			for i := range messages {
				if n, err := strconv.Atoi(messages[i].MessageId); err == nil {
					commits[n] = now
				}
			}
		})
	}
	roles := make(chan func(*amqp.Channel) error, 3)
	roles <- worker
	roles <- worker
	roles <- func(ch *amqp.Channel) error {
		return publishPaced(ctx, ch, message, publishWindow, groupPace, func(sent time.Time, took time.Duration) {
			confirms = append(confirms, sent.Add(took))
		})
	}
	err := b.onConnections(cap(roles), func(ch *amqp.Channel) error { return (<-roles)(ch) })
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var latencies durations
	for n, confirmed := range confirms {
		if committed, ok := commits[n]; ok && confirmed.After(from) {
			latencies = append(latencies, max(0, committed.Sub(confirmed)))
		}
	}
	if len(latencies) == 0 {
		return errors.New("nothing was stored")
	}
	r.addLatencies("limits.latency", latencies)
	return b.purge()
}
