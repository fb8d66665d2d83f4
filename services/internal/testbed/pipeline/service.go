package pipeline

import (
	"context"
	"net"
	"sync"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
)

// Service runs until Stop is called, or the test ends.
type Service struct {
	URL  string
	Stop func() error
}

// runner is a producer or a consumer.
type runner interface {
	Run(ctx context.Context) error
	Addr() net.Addr
	Ready() error
}

// Start runs a service, and returns when it is ready.
func (s *Pipeline) Start(r runner, err error) *Service {
	s.T.Helper()
	if err != nil {
		s.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	s.T.Cleanup(func() {
		if err := stop(); err != nil {
			s.T.Error(err)
		}
	})
	Eventually(s.T, "the service is ready", func() bool { return r.Ready() == nil })
	return &Service{URL: "http://" + r.Addr().String(), Stop: stop}
}

// Producer starts a producer in this process.
func (s *Pipeline) Producer() *Service {
	s.T.Helper()
	p, err := producer.New(s.Config(config.ForProducer), s.Log)
	return s.Start(p, err)
}

// Consumer starts a consumer in this process.
func (s *Pipeline) Consumer() *Service {
	s.T.Helper()
	c, err := app.NewConsumer(s.Config(config.ForConsumer), s.Log)
	return s.Start(c, err)
}
