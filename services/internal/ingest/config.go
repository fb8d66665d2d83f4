package ingest

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/admission"
	"github.com/trailpost/trailpost/services/internal/linger"
)

// Config is what the handlers and their server need.
type Config struct {
	Publisher Publisher
	// Refuse returns why no event may be accepted, though the publisher could publish it: the
	// broker would lose what it confirms. It answers from memory. nil: nothing is against it.
	Refuse   func() error
	Parser   *event.Parser
	Log      *slog.Logger
	Metrics  *Metrics
	Gatherer prometheus.Gatherer // what /metrics shows; nil: there is no /metrics
	Tracer   trace.Tracer        // nil: no spans

	// Keys knows who may send events and ask about the queue; nil: everyone.
	Keys admission.Keys
	// RateLimit is how many events a second a client may send; 0: as many as it likes.
	// RateBurst is how many at once, at least 1.
	RateLimit, RateBurst int
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Origins are the web origins whose scripts may send events and read answers; none: browsers
	// let no script do so.
	Origins []string

	// MemoryBudget is the most bytes of request bodies in memory; 0 means DefaultMemoryBudget.
	MemoryBudget int64
	// RequestTimeout is the longest time that the publisher takes to answer, which it keeps itself; 0
	// means [broker.DefaultRequestTimeout].
	RequestTimeout time.Duration
	// ReadTimeout is how long a request may take before the size of its body counts; 0 means
	// DefaultReadTimeout.
	ReadTimeout time.Duration

	// What the server alone needs.

	Addr        string // host:port; port 0 takes a free one
	CertFile    string // PEM files; both or neither. With them the server speaks HTTPS.
	KeyFile     string
	IdleTimeout time.Duration // of a connection between two requests; 0 means DefaultIdleTimeout
	Linger      linger.Limits // for clients that are refused and still send; zero: linger.Defaults
}

// Defaults of Config.
const (
	DefaultMemoryBudget = 64 << 20
	DefaultReadTimeout  = 10 * time.Second
	// DefaultIdleTimeout is longer than load balancers keep connections (nginx and ALB 60 s,
	// Google's 600 s, which can't be changed). The client must be the first of the two to end one,
	// or it may send a request that nobody reads.
	DefaultIdleTimeout = 650 * time.Second
)

// withDefaults returns cfg with a value where 0 stands for one.
func (cfg Config) withDefaults() Config {
	if cfg.Refuse == nil {
		cfg.Refuse = func() error { return nil }
	}
	if cfg.Linger == (linger.Limits{}) {
		cfg.Linger = linger.Defaults
	}
	cfg.MemoryBudget = orDefault(cfg.MemoryBudget, DefaultMemoryBudget)
	cfg.RequestTimeout = orDefault(cfg.RequestTimeout, broker.DefaultRequestTimeout)
	cfg.ReadTimeout = orDefault(cfg.ReadTimeout, DefaultReadTimeout)
	cfg.IdleTimeout = orDefault(cfg.IdleTimeout, DefaultIdleTimeout)
	return cfg
}

func orDefault[T int64 | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}
