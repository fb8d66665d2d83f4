package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// brokerFaults are RabbitMQ's own.
func brokerFaults() []fault {
	return []fault{
		{hop: "publish", kind: "memory alarm", felt: refused, begin: ctlPair(
			[]string{"set_vm_memory_high_watermark", "0"}, []string{"set_vm_memory_high_watermark", "0.4"})},
		{hop: "publish", kind: "disk alarm", felt: refused, begin: ctlPair(
			[]string{"set_disk_free_limit", "100000GB"}, []string{"set_disk_free_limit", "64MB"})},
		{hop: "publish", kind: "queue at its maximum length", felt: refused, begin: fullQueue},
		{hop: "publish", kind: "queue deleted under the producer", felt: refused, begin: deletedQueue, alone: true},
		{hop: "publish", kind: "connections closed by the broker", felt: logged("rabbitmq", sessionLost), begin: closedConnections},
		{hop: "consume", kind: "consumer timeout", felt: fewerConsumers, begin: consumerTimeout, long: true},
		{hop: "broker", kind: "stopped and started", felt: refused, long: true,
			begin: func(w *world, _ *rand.Rand) (func() error, error) {
				return func() error { return w.servers.Rabbit.Start(context.Background()) }, w.servers.Rabbit.Stop(context.Background())
			}},
		{hop: "broker", kind: "killed and started", felt: refused, long: true,
			begin: func(w *world, _ *rand.Rand) (func() error, error) {
				return func() error { return w.servers.Rabbit.Start(context.Background()) }, w.servers.Rabbit.Kill()
			}},
	}
}

// ctlPair breaks with one command and mends with another.
func ctlPair(broken, mended []string) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		return func() error { return w.ctl(mended...) }, w.ctl(broken...)
	}
}

// fullQueue stops the consumers and lets the queue hold ten messages.
func fullQueue(w *world, _ *rand.Rand) (func() error, error) {
	if err := w.signalConsumers(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	_, err := w.vhost.Ctl(context.Background(), "set_policy", "full", "^"+queue+"$", `{"max-length":10}`, "--apply-to", "queues")
	return func() error {
		_, err := w.vhost.Ctl(context.Background(), "clear_policy", "full")
		return errors.Join(err, w.signalConsumers(syscall.SIGCONT))
	}, err
}

func (w *world) signalConsumers(s syscall.Signal) error {
	var errs []error
	for _, c := range w.consumers {
		errs = append(errs, c.signal(s))
	}
	return errors.Join(errs...)
}

// deletedQueue deletes the queue when it is empty: what it holds would be gone, whoever
// promised what. The consumers stand still, or they would declare it again at once.
func deletedQueue(w *world, _ *rand.Rand) (func() error, error) {
	end := func() error { return w.signalConsumers(syscall.SIGCONT) }
	w.request.cut() // nothing comes in
	deadline := time.Now().Add(patience)
	for {
		arrived, err := w.arrived(w.client.Ledger)
		if err == nil && arrived >= w.client.Accepted() {
			err = w.signalConsumers(syscall.SIGSTOP)
			if err == nil {
				err = w.deleteEmpty()
			}
			if err == nil {
				return end, w.request.heal()
			}
			err = errors.Join(err, end())
		}
		if time.Now().After(deadline) {
			return end, errors.Join(fmt.Errorf("the queue does not become empty: %w", err), w.request.heal())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// deleteEmpty deletes the queue, unless messages wait.
func (w *world) deleteEmpty() error {
	return w.onChannel(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			return err
		}
		if q.Messages > 0 {
			return fmt.Errorf("%d messages wait", q.Messages)
		}
		_, err = ch.QueueDelete(queue, false, false, false)
		return err
	})
}

func closedConnections(w *world, _ *rand.Rand) (func() error, error) {
	return func() error { return nil }, w.ctl("close_all_connections", "--vhost", w.vhost.Name, "a person closed it")
}

// Milliseconds, of the broker's own settings.
const (
	shortTimeout, shortTick = "1000", "300"
	usualTimeout, usualTick = "21600000", "60000"
)

// setTimeout has the broker end consumers that hold a message longer. Only channels that
// open afterwards know.
func (w *world) setTimeout(timeout, tick string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.servers.Rabbit.Eval(ctx, "application:set_env(rabbit, consumer_timeout, "+timeout+"), application:set_env(rabbit, channel_tick_interval, "+tick+")")
}

// restartConsumers kills and starts them.
func (w *world) restartConsumers() error {
	var errs []error
	for _, c := range w.consumers {
		errs = append(errs, c.kill(), c.start())
	}
	return errors.Join(errs...)
}

// consumerTimeout lets the database hold up the consumers for longer than the broker
// allows.
func consumerTimeout(w *world, r *rand.Rand) (func() error, error) {
	if err := w.setTimeout(shortTimeout, shortTick); err != nil {
		return nil, err
	}
	mend := func() error { return errors.Join(w.setTimeout(usualTimeout, usualTick), w.restartConsumers()) }
	if err := w.restartConsumers(); err != nil {
		return mend, err
	}
	_ = w.readyWithin(5 * time.Second) // among other faults they may not be
	unlock, err := lockTrail(w, r)
	return func() error { return errors.Join(unlock(), mend()) }, err
}

// fewerConsumers: the broker has given up a worker of the four.
func fewerConsumers(w *world, _ mark) bool {
	_, n, err := w.onQueue()
	return err == nil && n < 4
}
