// Package figures holds what a benchmark measured: a value for each round, and the tables of medians,
// spreads and ratios that they make.
package figures

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is every figure by its name, such as accept.single_64.rate.
type Report struct {
	figures map[string]Samples
	order   []string
}

// NewReport returns a report without figures.
func NewReport() *Report { return &Report{figures: make(map[string]Samples)} }

// Add notes a value of a figure, one a round.
func (r *Report) Add(name string, value float64) {
	if _, there := r.figures[name]; !there {
		r.order = append(r.order, name)
	}
	r.figures[name] = append(r.figures[name], value)
}

// AddLatencies notes percentiles of latencies, in milliseconds, under a name.
func (r *Report) AddLatencies(name string, d Durations) {
	r.Add(name+".p50_ms", d.At(50))
	r.Add(name+".p99_ms", d.At(99))
	r.Add(name+".p99.9_ms", d.At(99.9))
}

// Median returns the median of a figure; 0 if it was not measured.
func (r *Report) Median(name string) float64 { return r.figures[name].Median() }

// ratio compares a figure with what it can be at most.
type ratio struct {
	of    string // a rate
	limit func(*Report) float64
	name  string
}

func to(name string) func(*Report) float64 {
	return func(r *Report) float64 { return r.Median(name) }
}

// together is what consuming and copying allow one after the other on the same cores.
func together(r *Report) float64 {
	return 1 / (1/r.Median("limits.consume") + 1/r.Median("limits.copy"))
}

var ratios = []ratio{
	{"accept.single_64.rate", to("limits.publish"), "publishing"},
	{"accept.single_256.rate", to("limits.publish"), "publishing"},
	{"late.single_64.rate", to("late.bare_64.rate"), "bare HTTP and groups"},
	{"late.single_256.rate", to("late.bare_256.rate"), "bare HTTP and groups"},
	{"accept.batch_json.rate", to("limits.publish"), "publishing"},
	{"accept.batch_ndjson.rate", to("limits.publish"), "publishing"},
	{"store.consumers_1.rate", to("limits.copy"), "COPY"},
	{"store.consumers_2.rate", to("store.consumers_1.rate"), "one consumer"},
	{"store.consumers_4.rate", to("store.consumers_1.rate"), "one consumer"},
	{"store.singles.rate", together, "consuming and COPY together"},
	{"store.repeats.rate", to("store.consumers_1.rate"), "no repeats"},
	{"store.repeats_near.rate", to("store.consumers_1.rate"), "no repeats"},
	{"store.redelivered.rate", to("store.consumers_1.rate"), "delivered once"},
	{"store.stored_already.rate", to("store.consumers_1.rate"), "new events"},
	{"table.large.rate", to("store.consumers_1.rate"), "an empty table"},
	{"bento.single_64.rate", to("accept.single_64.rate"), "Trailpost"},
	{"bento.single_256.rate", to("accept.single_256.rate"), "Trailpost"},
	{"bento.store.rate", to("store.singles.rate"), "Trailpost"},
	{"queue.long.single_64.rate", to("accept.single_64.rate"), "an empty queue"},
}

// Print writes the tables.
func (r *Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nevents a second\tmedian\tspread\tof\t\tp50 ms\tp99 ms\tp99.9 ms\t")
	for _, name := range r.order {
		base, isRate := strings.CutSuffix(name, ".rate")
		if isLimit := strings.HasPrefix(name, "limits.") && strings.Count(name, ".") == 1; !isRate && !isLimit {
			continue
		}
		fmt.Fprintf(t, "%s\t%.0f\t±%.0f %%\t%s\t%s\t%s\t%s\t%s\t\n", base, r.Median(name), 50*r.figures[name].Spread(),
			r.ratioOf(name), r.limitOf(name), r.cell(base+".p50_ms", "%.1f"), r.cell(base+".p99_ms", "%.1f"), r.cell(base+".p99.9_ms", "%.1f"))
	}
	fmt.Fprintln(t, "\nlatency\t\t\t\t\tp50 ms\tp99 ms\tp99.9 ms\t")
	for _, name := range r.order {
		if base, found := strings.CutSuffix(name, ".p50_ms"); found && r.figures[base+".rate"] == nil {
			fmt.Fprintf(t, "%s\t\t\t\t\t%s\t%s\t%s\t\n", base, r.cell(name, "%.1f"), r.cell(base+".p99_ms", "%.1f"), r.cell(base+".p99.9_ms", "%.1f"))
		}
	}
	_ = t.Flush()
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nan event costs\tallocations\tproducer µs\tconsumer µs\trabbitmq µs\tpostgresql µs\tload µs\tpeak MiB\t")
	for _, name := range r.order {
		if base, found := strings.CutSuffix(name, ".allocations"); found {
			fmt.Fprintf(t, "%s\t%s\t", base, r.cell(name, "%.0f"))
			for _, who := range []string{"producer", "consumer", "rabbitmq", "postgresql", "load"} {
				fmt.Fprintf(t, "%s\t", r.cell(base+".cpu_us."+who, "%.1f"))
			}
			fmt.Fprintf(t, "%s\t\n", r.cell(base+".peak_mib", "%.0f"))
		}
	}
	_ = t.Flush()
	if peak := r.cell("memory.big_batch_mib", "%.0f"); peak != "" {
		fmt.Fprintf(w, "\na producer's peak with batches of 16 MiB: %s MiB\n", peak)
	}
}

func (r *Report) cell(name, format string) string {
	if len(r.figures[name]) == 0 {
		return ""
	}
	return fmt.Sprintf(format, r.Median(name))
}

func (r *Report) ratioOf(name string) string {
	for _, ratio := range ratios {
		if limit := ratio.limit(r); ratio.of == name && limit > 0 && !math.IsNaN(limit) && !math.IsInf(limit, 0) {
			return fmt.Sprintf("%.2f", r.Median(name)/limit)
		}
	}
	return ""
}

func (r *Report) limitOf(name string) string {
	i := slices.IndexFunc(ratios, func(ratio ratio) bool { return ratio.of == name })
	if i < 0 || r.ratioOf(name) == "" {
		return ""
	}
	return ratios[i].name
}

// Tree is the medians as nested objects: limits.publish is tree["limits"]["publish"].
func (r *Report) Tree() map[string]any {
	root := make(map[string]any)
	for _, name := range r.order {
		node := root
		parts := strings.Split(strings.ReplaceAll(name, "p99.9_ms", "p999_ms"), ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := node[part].(map[string]any)
			if !ok {
				next = make(map[string]any)
				node[part] = next
			}
			node = next
		}
		node[parts[len(parts)-1]] = r.Median(name)
	}
	root["memory"] = map[string]any{
		"producer_mib": r.Median("accept.single_256.peak_mib"), "consumer_mib": r.Median("store.consumers_1.peak_mib"),
		"big_batch_mib": r.Median("memory.big_batch_mib"),
	}
	return root
}
