package migrator

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/store"
)

// waitForever is what --wait without a value means.
const waitForever = "forever"

// waitFlag is --wait: not at all, for a duration, or without limit.
type waitFlag struct {
	set   bool
	limit time.Duration // 0: none
}

// add gives a command the flag.
func (w *waitFlag) add(cmd *cobra.Command) {
	cmd.Flags().Var(w, "wait", "wait for the database to answer, without limit or so long")
	cmd.Flags().Lookup("wait").NoOptDefVal = waitForever
}

// String implements pflag.Value.
func (w *waitFlag) String() string {
	switch {
	case !w.set:
		return ""
	case w.limit == 0:
		return waitForever
	}
	return w.limit.String()
}

// Set implements pflag.Value.
func (w *waitFlag) Set(text string) error {
	if text == waitForever {
		*w = waitFlag{set: true}
		return nil
	}
	limit, err := time.ParseDuration(text)
	if err != nil || limit <= 0 {
		return fmt.Errorf("%q is no duration such as 90s or 5m", text)
	}
	*w = waitFlag{set: true, limit: limit}
	return nil
}

// Type implements pflag.Value.
func (w *waitFlag) Type() string { return "duration" }

// The pause between two attempts grows from the one to the other.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// retry does f until it succeeds, fails for a reason that does not pass by itself, or has been
// waited for as long as the flag says. It speaks when the reason changes.
func (w *waitFlag) retry(ctx context.Context, log *slog.Logger, f func() error) error {
	var (
		start   = time.Now()
		backoff = retry.Backoff{First: firstPause, Most: lastPause}
		reason  retry.Reason
	)
	for {
		err := store.Explain(f())
		if err == nil || !w.set || ctx.Err() != nil || store.Classify(err) != store.Transient {
			return err
		}
		pause := backoff.Next()
		if w.limit > 0 && time.Since(start)+pause > w.limit {
			return fmt.Errorf("waited %v for the database: %w", w.limit, err)
		}
		if reason.Changed(err) {
			log.WarnContext(ctx, "waiting for the database", "error", err)
		}
		if retry.Sleep(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}
