package ingest

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/admission"
	"github.com/trailpost/trailpost/services/internal/ingest/apidocs"
	"github.com/trailpost/trailpost/services/internal/ingest/clientlog"
	"github.com/trailpost/trailpost/services/internal/ingest/middleware"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

const (
	refusalInterval = 10 * time.Second // between log lines of one kind of refusal
	noticeInterval  = time.Hour        // between log lines about one name that a client sent
)

type handler struct {
	publisher      Publisher
	refusal        func() error
	parser         *event.Parser
	log            *slog.Logger
	metrics        *Metrics
	readTimeout    time.Duration
	version        string
	keys           admission.Keys   // nil: everyone may send
	rates          *admission.Rates // nil: no limit
	trustedProxies []netip.Prefix
	endpoints      map[string]string

	budget  *admission.Budget
	sampler *clientlog.Sampler // what clients can repeat at will is logged through it
}

// NewHandler returns all routes of the producer.
func NewHandler(cfg Config) http.Handler {
	cfg = cfg.withDefaults()
	h := &handler{
		publisher:      cfg.Publisher,
		refusal:        cfg.Refuse,
		parser:         cfg.Parser,
		log:            cfg.Log,
		metrics:        cfg.Metrics,
		readTimeout:    cfg.ReadTimeout,
		version:        telemetry.ReadBuild().Version,
		keys:           cfg.Keys,
		rates:          admission.NewRates(cfg.RateLimit, cfg.RateBurst, time.Now),
		trustedProxies: cfg.TrustedProxies,
		endpoints:      endpoints(cfg),
		budget:         admission.NewBudget(cfg.MemoryBudget),
		sampler:        clientlog.NewSampler(time.Now),
	}
	h.metrics.setBudget(h.budget)

	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false // a redirected POST loses its body in many clients
	engine.UseRawPath = true             // /%6cog is not /log: a gateway's rules for paths would not see through it
	if cfg.Tracer != nil {
		engine.Use(middleware.Trace(cfg.Tracer))
	}
	engine.Use(h.observe, h.recover)
	engine.NoRoute(h.answer(func(*gin.Context) error { return nothingHere() }))
	engine.NoMethod(h.answer(func(c *gin.Context) error {
		return newProblem(kindMethod, "Allowed: "+c.Writer.Header().Get("Allow")+".")
	}))

	engine.POST(routeLog, h.answer(h.counted(h.guarded(h.postLog))))
	engine.POST(routeBatch, h.answer(h.counted(h.guarded(h.postBatch))))
	get := func(path string, handle gin.HandlerFunc) {
		engine.GET(path, h.leave, handle)
		engine.HEAD(path, h.leave, handle)
	}
	get("/", apidocs.Card(h.getCard))
	get("/health", h.getHealth)
	get("/queue/status", h.answer(h.guarded(h.getQueueStatus)))
	get("/livez", h.getLive)
	get("/readyz", h.getReady)
	if cfg.Gatherer != nil {
		get("/metrics", gin.WrapH(telemetry.MetricsHandler(cfg.Gatherer, cfg.Log)))
	}
	get("/openapi.json", apidocs.GetOpenAPI)
	get("/docs", apidocs.GetPage)
	get("/docs/:asset", h.answer(func(c *gin.Context) error {
		if !apidocs.GetAsset(c) {
			return nothingHere()
		}
		return nil
	}))
	return middleware.AllowOrigins(engine, cfg.Origins)
}

func nothingHere() *problem { return newProblem(kindNotFound, "See / for what there is.") }

// answer turns a handler that returns an error into one of gin's: the one place where errors become
// answers.
func (h *handler) answer(handle func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		err := handle(c)
		if err == nil {
			return
		}
		p := asProblem(err)
		if p.beforeTheEnd() {
			h.leave(c)
		}
		instance := p.write(c)
		h.logProblem(c, p, instance, err)
	}
}

// counted adds a POST's refused events to the metrics.
func (h *handler) counted(handle func(*gin.Context) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		err := handle(c)
		if err != nil {
			p := asProblem(err)
			h.metrics.rejected.WithLabelValues(p.name).Add(float64(p.events))
		}
		return err
	}
}

// logProblem logs what the operator should see: our own failures always, the broker's now and then,
// the client's at DEBUG.
func (h *handler) logProblem(c *gin.Context, p *problem, instance string, err error) {
	attrs := []slog.Attr{
		slog.String("route", route(c)), slog.Int("status", p.status),
		slog.String("problem", p.name), slog.String("instance", instance),
	}
	ctx := c.Request.Context()
	switch {
	case p.kind == kindInternal:
		h.log.LogAttrs(ctx, slog.LevelError, "request failed", append(attrs, slog.Any("error", err))...)
	case p.status >= http.StatusInternalServerError:
		if more, ok := h.sampler.Allow(p.name, refusalInterval); ok {
			h.log.LogAttrs(ctx, slog.LevelWarn, "request refused",
				append(attrs, slog.Any("error", err), slog.Int("more_since_last", more))...)
		}
	default:
		h.log.LogAttrs(ctx, slog.LevelDebug, "request refused", attrs...)
	}
}
