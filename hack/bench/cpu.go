package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tick is the unit of CPU times in /proc, seconds; Linux shows it so on all machines that Go runs on (proc(5), USER_HZ).
const tick = 0.01

// use is CPU time and allocations of those who share in a measurement.
type use struct {
	bench    *bench
	services []*service
	cpu      map[string]float64 // seconds by who
	mallocs  float64
	profiled []chan profile
}

// measureUse begins to measure what services, servers and the load itself use.
func (b *bench) measureUse(services ...*service) (*use, error) {
	u := &use{bench: b, services: services}
	var err error
	u.cpu, u.mallocs, err = u.now()
	for _, s := range services {
		if s.pprof != "" {
			u.profiled = append(u.profiled, s.profile(b.duration))
		}
	}
	return u, err
}

// end adds the use for each of some events to the report.
func (u *use) end(r *report, name string, events float64) error {
	cpu, mallocs, err := u.now()
	if err != nil {
		return err
	}
	for who, seconds := range cpu {
		r.add(name+".cpu_us."+who, (seconds-u.cpu[who])/events*1e6)
	}
	r.add(name+".allocations", (mallocs-u.mallocs)/events)
	for i, c := range u.profiled {
		p := <-c
		if p.err != nil {
			return p.err
		}
		file := filepath.Join(u.bench.profiles, fmt.Sprintf("%s.%d.pprof", name, i+1))
		if err := os.WriteFile(file, p.text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (u *use) now() (cpu map[string]float64, mallocs float64, err error) {
	all, err := processes()
	if err != nil {
		return nil, 0, err
	}
	cpu = make(map[string]float64)
	for _, s := range u.services {
		who := filepath.Base(s.cmd.Path)
		if who == "bench" { // the bare server stands in for the producer
			who = "producer"
		}
		cpu[who] += all[s.cmd.Process.Pid].cpu
		n, err := s.metric("go_memstats_mallocs_total")
		if err != nil {
			return nil, 0, err
		}
		mallocs += n
	}
	cpu["load"] = all[os.Getpid()].cpu
	for who, port := range map[string]int{"rabbitmq": u.bench.broker.Port, "postgresql": int(u.bench.database.Port)} {
		if pid := listener(port, all); pid != 0 {
			cpu[who] = all.withChildren(pid)
		}
	}
	return cpu, mallocs, nil
}

// process is what /proc/PID/stat tells.
type process struct {
	parent int
	cpu    float64 // seconds, its ended children's included
}

type table map[int]process

func processes() (table, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(table, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		// The name, in parentheses, may have spaces.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 15 {
			return nil, fmt.Errorf("%s: %q", file, text)
		}
		var p process
		p.parent, _ = strconv.Atoi(fields[1])
		for _, ticks := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.ParseFloat(ticks, 64)
			p.cpu += n * tick
		}
		all[pid] = p
	}
	return all, nil
}

// withChildren is the CPU time of a process and all below it.
func (t table) withChildren(pid int) float64 {
	sum := t[pid].cpu
	for child, p := range t {
		if p.parent == pid {
			sum += t.withChildren(child)
		}
	}
	return sum
}

// listener is the process that listens on a port of this machine, the oldest of those that share it; 0 if it can't be seen.
func listener(port int, all table) int {
	inode := listeningInode(port)
	if inode == "" {
		return 0
	}
	var found []int
	for pid := range all {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && to == "socket:["+inode+"]" {
				found = append(found, pid)
			}
		}
	}
	if len(found) == 0 {
		return 0
	}
	return slices.Min(found)
}

// listeningInode finds the socket in /proc/net/tcp (proc_net_tcp.txt of Linux's documentation).
func listeningInode(port int) string {
	const listening = "0A"
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != listening {
				continue
			}
			_, hexPort, err := net.SplitHostPort(fields[1])
			if n, bad := strconv.ParseUint(hexPort, 16, 16); err == nil && bad == nil && int(n) == port {
				return fields[9]
			}
		}
	}
	return ""
}

// peakMemory is the most that a process has had in memory, MiB.
func peakMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}
