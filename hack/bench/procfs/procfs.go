// Package procfs asks Linux, in /proc, what processes use.
package procfs

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

// Process is what /proc/PID/stat says of one.
type Process struct {
	Parent int
	CPU    float64 // seconds, its ended children's included
}

// Table is all processes by their ids.
type Table map[int]Process

// Processes reads the table.
func Processes() (Table, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(Table, len(files))
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
		var p Process
		p.Parent, _ = strconv.Atoi(fields[1])
		for _, ticks := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.ParseFloat(ticks, 64)
			p.CPU += n * tick
		}
		all[pid] = p
	}
	return all, nil
}

// WithChildren returns the CPU time of a process and all below it.
func (t Table) WithChildren(pid int) float64 {
	sum := t[pid].CPU
	for child, p := range t {
		if p.Parent == pid {
			sum += t.WithChildren(child)
		}
	}
	return sum
}

// Listener returns the process that listens on a port of this machine, the oldest of those that share it; 0 if it can't be seen.
func Listener(port int, all Table) int {
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

// PeakMemory returns the most that a process has had in memory, MiB.
func PeakMemory(pid int) (float64, error) {
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
