package telemetry

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// version and revision are set by a build that knows them better than the toolchain, such as that
// of an image, which has no work tree:
//
//	go build -ldflags "-X github.com/trailpost/trailpost/services/internal/telemetry.version=v1.2.3"
var version, revision string

// Build says which build this is.
type Build struct {
	Version   string // "v1.2.3", or what the toolchain knows; "unknown" without both
	Revision  string // commit, with "-dirty" after it if the work tree was changed; "unknown" without a work tree
	GoVersion string
}

// String returns what --version prints.
func (b Build) String() string {
	return b.Version + " (commit " + b.Revision + ", " + b.GoVersion + ")"
}

// ReadBuild reads what the linker and the toolchain left in the binary.
func ReadBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return readBuild(Build{Version: version, Revision: revision}, info)
}

// readBuild fills in what the linker did not set.
func readBuild(b Build, info *debug.BuildInfo) Build {
	b.GoVersion = runtime.Version()
	if info != nil {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		if b.Revision == "" {
			b.Revision = treeRevision(info.Settings)
		}
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	if b.Revision == "" {
		b.Revision = "unknown"
	}
	return b
}

// treeRevision returns the work tree's revision, which the toolchain has recorded, or "".
func treeRevision(settings []debug.BuildSetting) (revision string) {
	var dirty bool
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty {
		revision += "-dirty"
	}
	return revision
}

// collector returns a gauge that is always 1 and has the build in its labels, so that a query can
// join it to any other metric.
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
