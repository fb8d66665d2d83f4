package main

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// besideBatches measures single requests at a third of their most while another client posts batches of 10,000
// without a pause.
func besideBatches(ctx context.Context, b *bench, r *figures.Report) (err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	single := load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload))
	most, _, err := load.ClosedLoop(ctx, p.Addr, 64, b.duration, single)
	if err != nil {
		return err
	}
	other, cancel := context.WithCancel(ctx)
	batches := make(chan error, 1)
	go func() {
		_, _, err := load.ClosedLoop(other, p.Addr, 1, time.Hour, load.Request("/log/batch", workload.MediaLines, workload.Batch(workload.MediaLines, 10*batchSize, workload.Payload)))
		batches <- err
	}()
	// 256 connections: with 64, those that wait while the broker confirms nothing hold up others that are due.
	latencies, err := load.OpenLoop(ctx, p.Addr, 256, most/3, 2*b.duration, single, nil)
	cancel()
	if failed := <-batches; !errors.Is(failed, context.Canceled) {
		err = errors.Join(err, failed)
	}
	if err != nil {
		return err
	}
	r.AddLatencies("accept.beside_batches", latencies)
	return nil
}

// What a producer has on its way to the broker while it takes in single events beside a batch: broker/lanes.go.
const (
	besidePace   = time.Millisecond // between messages of single events
	besideWindow = 8                // messages of the batch without a confirm
	besideEvents = 64               // events of one
	besideRate   = 2000             // messages of batches a second, at most: about what besideBatches makes on two cores
)

// besideLimit is what besideBatches can reach at most: how late the broker's confirms of small messages are while
// another connection publishes large ones. It has nothing of Trailpost in it. busy is how many processes do nothing
// but use a core meanwhile.
func besideLimit(name string, busy int) func(context.Context, *bench, *figures.Report) error {
	return func(ctx context.Context, b *bench, r *figures.Report) error {
		if err := b.purge(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, load.WarmUp+2*b.duration)
		defer cancel()
		var spinning sync.WaitGroup
		defer spinning.Wait()
		for range busy {
			spin := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
			spin.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := spin.Start(); err != nil {
				return err
			}
			spinning.Go(func() { _ = spin.Wait() }) // it is killed when ctx ends
		}
		from := time.Now().Add(load.WarmUp)
		large, small := persistent(workload.Batch(workload.MediaLines, besideEvents, workload.Payload)), persistent(workload.Queued())
		var latencies figures.Durations
		roles := make(chan func(*amqp.Channel) error, 2)
		roles <- func(ch *amqp.Channel) error {
			return publishPaced(ctx, ch, large, besideWindow, time.Second/besideRate, func(time.Time, time.Duration) {})
		}
		roles <- func(ch *amqp.Channel) error {
			return publishPaced(ctx, ch, small, publishWindow, besidePace, func(sent time.Time, took time.Duration) {
				if sent.After(from) {
					latencies = append(latencies, took)
				}
			})
		}
		if err := b.onConnections(cap(roles), func(ch *amqp.Channel) error { return (<-roles)(ch) }); err != nil {
			return err
		}
		r.AddLatencies(name, latencies)
		return b.purge()
	}
}

func persistent(body []byte) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: workload.MediaLines, Body: body}
}

// publishPaced publishes a message until ctx ends, with the numbers from 0 as its ids, with at most window of them without
// a confirm and a pause after each, and tells of each confirm, in one goroutine, when its message was sent and how long it took.
func publishPaced(ctx context.Context, ch *amqp.Channel, message amqp.Publishing, window int, pause time.Duration, confirmed func(sent time.Time, took time.Duration)) error {
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	outstanding := make(chan time.Time, window) // confirms of one channel come in order
	refused := make(chan error, 1)
	go func() {
		defer close(refused)
		for sent := range outstanding {
			if c, open := <-confirms; !open || !c.Ack {
				refused <- errors.New("not confirmed")
				return
			}
			confirmed(sent, time.Since(sent))
		}
	}()
	publish := func() error {
		for n := 0; ctx.Err() == nil; n++ {
			select {
			case outstanding <- time.Now():
			case err := <-refused:
				return err
			}
			message.MessageId = strconv.Itoa(n)
			if err := ch.PublishWithContext(context.WithoutCancel(ctx), "", queueName, false, false, message); err != nil {
				return err
			}
			time.Sleep(pause)
		}
		return nil
	}
	err := publish()
	close(outstanding)
	return errors.Join(err, <-refused) // which is closed when the last confirm has come
}
