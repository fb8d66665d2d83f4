package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/tlsfiles"
)

// Certificate is a file whose expiry an operator wants to see in time.
type Certificate struct {
	Name      string // the label's value: server, broker_ca, broker_client, database_ca, database_client
	File      string // PEM; "" for one that is not set
	Authority bool   // the file is a list of authorities; any valid one is enough
}

// NewCertificateCollector returns a gauge of when each certificate expires. Files are read at every
// scrape, since they are renewed while a process runs; a file that can't be read has no value.
func NewCertificateCollector(certificates ...Certificate) prometheus.Collector {
	var set certificateCollector
	for _, c := range certificates {
		if c.File != "" {
			set = append(set, c)
		}
	}
	return set
}

type certificateCollector []Certificate

var certificateDesc = prometheus.NewDesc("trailpost_certificate_not_after_timestamp_seconds",
	"Unix time until which a certificate file is valid, in seconds, by certificate: server, broker_ca, broker_client, database_ca or database_client. Of a chain it is its first end, of a list of authorities the last.",
	[]string{"certificate"}, nil)

func (certificateCollector) Describe(descs chan<- *prometheus.Desc) { descs <- certificateDesc }

func (set certificateCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range set {
		end, err := c.notAfter()
		if err != nil {
			continue
		}
		metrics <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(end.Unix()), c.Name)
	}
}

func (c Certificate) notAfter() (time.Time, error) {
	if c.Authority {
		return tlsfiles.AuthoritiesEnd(c.File)
	}
	return tlsfiles.ChainEnd(c.File)
}
