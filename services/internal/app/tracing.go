package app

import (
	"crypto/tls"
	"log/slog"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// Tracing starts to trace, if the configuration names a collector; else it
// returns nil, which is fine. service is what traces call the process unless
// OTEL_SERVICE_NAME does.
func Tracing(cfg *config.Config, service string, log *slog.Logger) (*tracing.Tracing, error) {
	t := cfg.Tracing
	if !t.On() {
		return nil, nil //nolint:nilnil // a nil Tracing is one that is off
	}
	settings := tracing.Settings{
		URL: t.URL(), Headers: t.HeaderMap(), Gzip: t.Compression == "gzip", Timeout: t.Wait(),
		Sampler: t.Sampler, Ratio: t.Ratio(),
		Service: service, Version: telemetry.ReadBuild().Version, Resource: t.Resource(),
	}
	if t.ServiceName != "" {
		settings.Service = t.ServiceName
	}
	var err error
	if settings.TLS, err = collectorTLS(t); err != nil {
		return nil, err
	}
	return tracing.Start(settings, log)
}

// collectorTLS reads the authorities once, and the certificate again when it is renewed.
func collectorTLS(t config.Tracing) (*tls.Config, error) {
	return clientTLS{
		authorities: t.Certificate, authoritiesSetting: "OTEL_EXPORTER_OTLP_CERTIFICATE",
		certificate: t.ClientCertificate, key: t.ClientKey,
		pairSetting: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_KEY",
	}.loader()()
}
