package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/procfs"
	"github.com/trailpost/trailpost/hack/bench/service"
)

// use is CPU time and allocations of those who share in a measurement.
type use struct {
	bench    *bench
	services []*service.Service
	cpu      map[string]float64 // seconds by who
	mallocs  float64
	profiled []chan service.Profile
}

// measureUse begins to measure what services, servers and the load itself use.
func (b *bench) measureUse(services ...*service.Service) (*use, error) {
	u := &use{bench: b, services: services}
	var err error
	u.cpu, u.mallocs, err = u.now()
	for _, s := range services {
		if s.Profiled() {
			u.profiled = append(u.profiled, s.Profile(b.duration))
		}
	}
	return u, err
}

// end adds the use for each of some events to the report.
func (u *use) end(r *figures.Report, name string, events float64) error {
	cpu, mallocs, err := u.now()
	if err != nil {
		return err
	}
	for who, seconds := range cpu {
		r.Add(name+".cpu_us."+who, (seconds-u.cpu[who])/events*1e6)
	}
	r.Add(name+".allocations", (mallocs-u.mallocs)/events)
	for i, c := range u.profiled {
		p := <-c
		if p.Err != nil {
			return p.Err
		}
		if err := os.MkdirAll(u.bench.profiles, 0o700); err != nil {
			return err
		}
		file := filepath.Join(u.bench.profiles, fmt.Sprintf("%s.%d.pprof", name, i+1))
		if err := os.WriteFile(file, p.Text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (u *use) now() (cpu map[string]float64, mallocs float64, err error) {
	all, err := procfs.Processes()
	if err != nil {
		return nil, 0, err
	}
	cpu = make(map[string]float64)
	for _, s := range u.services {
		who := s.Name()
		if who == "bench" { // the bare server stands in for the producer
			who = "producer"
		}
		cpu[who] += all[s.PID()].CPU
		n, err := s.Metric("go_memstats_mallocs_total")
		if err != nil {
			return nil, 0, err
		}
		mallocs += n
	}
	cpu["load"] = all[os.Getpid()].CPU
	for who, port := range map[string]int{"rabbitmq": u.bench.broker.Port, "postgresql": int(u.bench.database.Port)} {
		if pid := procfs.Listener(port, all); pid != 0 {
			cpu[who] = all.WithChildren(pid)
		}
	}
	return cpu, mallocs, nil
}
