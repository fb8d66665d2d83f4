// Command bench measures Trailpost beside the limits of its servers, in one run and
// in turns, and prints a table of medians, spreads and ratios:
//
//	make bench          about six minutes
//	make bench-full     also larger tables, longer queues and larger events
//	make soak           half an hour at a steady rate, after which nothing may have grown
//
// It runs below withservers, which starts the servers and says where they are, and
// starts the built binaries of the services itself. Everything shares one machine,
// the load's own work too; the limits pay for that as well, so the ratios are what
// to look at. It works on Linux alone, for the CPU time of others' processes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"github.com/trailpost/trailpost/hack/bench/bare"
	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/loris"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

type options struct {
	rounds   int
	duration time.Duration // of a measurement of accepting or publishing
	events   int           // that a measurement of storing stores
	only     *regexp.Regexp
	full     bool
	soak     time.Duration // that alone, if not 0
	output   string        // of the JSON
	bin      string        // folder of the services' binaries
	bento    string        // its binary, "" for none
	profiles string        // folder for CPU profiles of the services, "" for none
}

func main() {
	if addr := os.Getenv(bare.Variable); addr != "" {
		fmt.Fprintln(os.Stderr, "bench:", bare.Serve(addr))
		os.Exit(1)
	}
	if where := os.Getenv(loris.Variable); where != "" {
		fmt.Fprintln(os.Stderr, "bench:", loris.Serve(where))
		os.Exit(1)
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "of each measurement of publishing and accepting")
	flag.IntVar(&o.events, "events", 300_000, "how many a measurement of storing stores")
	only := flag.String("only", "", "measure just what this regular expression matches, such as 'limits|store'")
	flag.BoolVar(&o.full, "full", false, "the long run: tables, queues and events of several sizes")
	flag.DurationVar(&o.soak, "soak", 0, "only this: a steady rate for so long, after which nothing may have grown")
	flag.StringVar(&o.output, "o", "bench.json", "file of the figures as JSON")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the binaries producer, consumer and migrate")
	flag.StringVar(&o.bento, "bento", "", "Bento's binary (github.com/warpstreamlabs/bento, 1.5), to measure it too")
	flag.StringVar(&o.profiles, "profiles", "", "folder that gets CPU profiles of the services, one a measurement (they slow it a little)")
	flag.Parse()
	var err error
	o.events -= o.events % batchSize // they are posted in batches
	if o.only, err = regexp.Compile(*only); err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	r := figures.NewReport()
	fmt.Printf("%s, %d cores, %s, %s; %d rounds\n", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), b.versions, workload.Sizes(), o.rounds)
	start := time.Now()
	for round := range o.rounds {
		for _, m := range measurements(o) {
			if m.full && !o.full || m.once && round > 0 || !o.only.MatchString(m.name) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%4.0f s  round %d  %s\n", time.Since(start).Seconds(), round+1, m.name)
			if err := m.run(ctx, b, r); err != nil {
				r.Print(os.Stdout) // what was measured till then
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	r.Print(os.Stdout)
	text, err := json.MarshalIndent(r.Tree(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.output, append(text, '\n'), 0o600)
}

// measurement adds its figures to the report.
type measurement struct {
	name string
	run  func(context.Context, *bench, *figures.Report) error
	once bool // in the first round only
	full bool // in the long run only
}

func measurements(o options) []measurement {
	if o.soak > 0 {
		return []measurement{{name: "soak", run: soak, once: true}}
	}
	all := []measurement{
		{name: "limits.publish limits.consume", run: brokerLimits},
		{name: "limits.copy", run: copyLimit},
		{name: "limits.http", run: httpLimit},
		{name: "limits.grouped", run: groupedLimit},
		{name: "limits.pipeline_2", run: pipelineLimit(2), once: true},
		{name: "limits.pipeline_4", run: pipelineLimit(4), once: true},
		{name: "accept", run: accept},
		{name: "store.consumers_1", run: storeGroups(1)},
		{name: "store.consumers_2", run: storeGroups(2)},
		{name: "store.consumers_4", run: storeGroups(4)},
		{name: "store.singles", run: storeSingles},
		{name: "store.repeats", run: storeRepeats("store.repeats", 20)},
		{name: "store.repeats_near", run: storeRepeats("store.repeats_near", 1)},
		{name: "store.stored_already", run: storeAgain},
		{name: "late_confirms", run: lateConfirms, once: true},
		{name: "limits.beside_batches", run: besideLimit("limits.beside_batches", 0), once: true},
		{name: "limits.beside_batches_busy", run: besideLimit("limits.beside_batches_busy", 2), once: true},
		{name: "beside_batches", run: besideBatches},
		{name: "slow_loris", run: slowLoris, full: true},
		{name: "limits.latency", run: latencyLimit, once: true},
		{name: "latency", run: latency},
		{name: "memory.big_batch", run: bigBatch, once: true},
		{name: "table_10m", run: largeTable, once: true, full: true},
		{name: "queue_1m", run: longQueue, once: true, full: true},
		{name: "payload_10k", run: largeEvents, once: true, full: true},
	}
	if o.bento != "" {
		all = append(all, measurement{name: "bento", run: bento})
	}
	return all
}
