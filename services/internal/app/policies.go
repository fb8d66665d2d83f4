package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/policy"
)

// Policies watches the policies of both queues; nil without RABBITMQ_MANAGEMENT_URL, which is logged.
func Policies(cfg *config.Config, log *slog.Logger) *policy.Watcher {
	return policy.NewWatcher(policies(cfg), log)
}

func policies(cfg *config.Config) policy.Config {
	r := cfg.RabbitMQ
	p := policy.Config{
		URL: r.ManagementURL, User: r.User, Password: r.Password.Reveal(), VHost: r.VHost,
		Queue: r.QueueName, Dead: broker.DeadQueue(r.QueueName), AllowLossy: r.AllowLossy,
	}
	if r.ManagementTLS() {
		p.TLS = brokerTLS(r, managementName(r))
	}
	return p
}

// managementName is RABBITMQ_SERVER_NAME where the management API is at the broker's host.
func managementName(r config.RabbitMQ) string {
	if u, err := url.Parse(r.ManagementURL); err != nil || !strings.EqualFold(u.Hostname(), r.Host) {
		return ""
	}
	return r.ServerName
}

// LetterUse is what a subcommand does with the dead-letter queue.
type LetterUse int

const (
	// ListLetters takes every letter and gives it back.
	ListLetters LetterUse = iota
	// ReplayAll takes every letter and gives none back but what others add, or what the queue doesn't take.
	ReplayAll
	// ReplaySome gives back, or writes anew, what is not chosen.
	ReplaySome
)

// readWithin is how long a subcommand waits for a broker that was just started to tell its policies.
const readWithin = 20 * time.Second

// CheckLetterPolicies says, before a subcommand touches the dead-letter queue, whether a policy would lose letters or
// replays by it, or could, since the management API does not answer. What is only worth knowing goes to notes.
func CheckLetterPolicies(ctx context.Context, cfg *config.Config, use LetterUse, notes io.Writer) error {
	p := policies(cfg)
	if p.URL == "" {
		fmt.Fprintln(notes, "policies of the broker are not looked at: RABBITMQ_MANAGEMENT_URL is not set, "+
			"and with a small delivery-limit each list brings letters nearer to their end")
		return nil
	}
	w := policy.NewWatcher(p, slog.New(slog.DiscardHandler))
	if err := w.ReadWithin(ctx, readWithin); err != nil {
		if !w.Known() && !p.AllowLossy {
			return fmt.Errorf("nothing was touched, since the policies of the broker can't be read, and one with a small delivery-limit would "+
				"delete what is given back: %w; RABBITMQ_ALLOW_LOSSY_POLICIES=true does it anyway", err)
		}
		fmt.Fprintf(notes, "policies of the broker can't be read: %v\n", err)
	}
	for _, f := range w.Findings() {
		if f.Effect != policy.Drops {
			continue
		}
		// What is given back counts towards the limit: by a list all of it, by a replay what log_queue refuses, and what
		// comes meanwhile, each time that the queue is looked through for letters that came back.
		counts := f.Queue == p.Dead && f.Key == "delivery-limit"
		harms := counts
		switch use {
		case ListLetters:
		case ReplayAll:
			harms = counts || f.Queue != p.Dead // of what the dead-letter queue drops otherwise, a replay saves what is there
		case ReplaySome:
			harms = true
		}
		if harms && !p.AllowLossy {
			return fmt.Errorf("nothing was touched, since %w: %s; RABBITMQ_ALLOW_LOSSY_POLICIES=true does it anyway", policy.ErrLossy, f.Reason)
		}
		fmt.Fprintf(notes, "a policy of the broker does harm: %s\n", f.Reason)
	}
	return nil
}
