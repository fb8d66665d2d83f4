package bare

import (
	"bytes"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/hack/bench/workload"
)

// The producer's pacing: broker/publish/scheduler.go.
const (
	// Pace is the time between messages, unless none is outstanding.
	Pace = time.Millisecond

	groupEvents = 64  // of a message
	groupWindow = 256 // messages without a confirm
)

// groupCommit publishes events that others wait for as the producer does, those of one pace in one message, and does
// nothing else: an event has no content of its own.
type groupCommit struct {
	waiting chan chan struct{}
	ch      *amqp.Channel
}

func newGroupCommit(brokerURL string) (*groupCommit, error) {
	conn, err := amqp.Dial(brokerURL)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	return &groupCommit{waiting: make(chan chan struct{}, groupWindow), ch: ch}, ch.Confirm(false)
}

// add returns when the broker has confirmed an event.
func (g *groupCommit) add() {
	confirmed := make(chan struct{}, 1)
	g.waiting <- confirmed
	<-confirmed
}

// run publishes until that fails.
func (g *groupCommit) run() error {
	confirms := g.ch.NotifyPublish(make(chan amqp.Confirmation, groupWindow))
	outstanding := make(chan []chan struct{}, groupWindow) // confirms of one channel come in order
	failed := make(chan error, 1)
	go func() {
		for c := range confirms {
			if !c.Ack {
				break
			}
			for _, confirmed := range <-outstanding {
				confirmed <- struct{}{}
			}
		}
		failed <- errors.New("not confirmed")
	}()
	line := append(workload.Queued(), '\n')
	var left time.Time
	for {
		var group []chan struct{}
		select {
		case first := <-g.waiting:
			group = append(group, first)
		case err := <-failed:
			return err
		}
		if len(outstanding) > 0 {
			time.Sleep(time.Until(left.Add(Pace)))
		}
		for len(group) < groupEvents && len(g.waiting) > 0 {
			group = append(group, <-g.waiting)
		}
		left = time.Now()
		outstanding <- group
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: workload.MediaLines, Body: bytes.Repeat(line, len(group))}
		if err := g.ch.Publish("", queue, false, false, message); err != nil {
			return err
		}
	}
}
