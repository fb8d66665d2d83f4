package telemetry

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// version is set by a release build:
//
//	go build -ldflags "-X github.com/trailpost/trailpost/services/internal/telemetry.version=v1.2.3"
var version string

// Build says which build this is.
type Build struct {
	Version   string // "v1.2.3", or what the toolchain knows; "unknown" without both
	Revision  string // commit, with "-dirty" after it if the work tree was changed; "unknown" outside of one
	GoVersion string
}

// ReadBuild reads what the linker and the toolchain left in the binary.
func ReadBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return readBuild(version, info)
}

func readBuild(linked string, info *debug.BuildInfo) Build {
	b := Build{Version: linked, Revision: "unknown", GoVersion: runtime.Version()}
	if info != nil {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		var dirty bool
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				dirty = s.Value == "true"
			}
		}
		if dirty {
			b.Revision += "-dirty"
		}
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	return b
}

// collector is a gauge that is always 1 and carries the build in its labels, so
// that a query can join it to any other metric.
func (b Build) collector() prometheus.Collector {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "trailpost_build_info",
		Help: "The build that runs here, in labels; the value is always 1.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion,
		},
	})
	gauge.Set(1)
	return gauge
}
