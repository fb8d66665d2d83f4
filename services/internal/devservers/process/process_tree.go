package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// descendants returns the process ids of a process's children and their children.
func descendants(pid int) []int {
	children := childrenByParent()
	var all []int
	for next := []int{pid}; len(next) > 0; {
		here := children[next[0]]
		all, next = append(all, here...), append(next[1:], here...)
	}
	return all
}

// childrenByParent reads the process table: /proc where there is one, which spares
// slim systems the need for ps.
func childrenByParent() map[int][]int {
	table := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		// "pid (name) state ppid …", where a name may hold blanks and parentheses
		head, rest, ok := cutLast(string(b), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 {
			continue
		}
		number, _, _ := strings.Cut(head, " ")
		add(table, number, fields[1])
	}
	if len(stats) > 0 {
		return table
	}
	out, _ := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 2 {
			add(table, fields[0], fields[1])
		}
	}
	return table
}

func add(table map[int][]int, pid, parent string) {
	child, err := strconv.Atoi(pid)
	if err != nil {
		return
	}
	if p, err := strconv.Atoi(parent); err == nil {
		table[p] = append(table[p], child)
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// waitGone waits until killed processes that are not our children have ended.
// There is nothing to wait on but their absence; the kernel needs moments.
func waitGone(pids []int) {
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range pids {
		for Alive(pid) && time.Now().Before(deadline) {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// Alive reports whether a process runs. One that has ended and that its parent has
// not waited for yet doesn't.
func Alive(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !os.IsNotExist(err) || !ProcMounted()
	}
	_, rest, _ := cutLast(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// ProcMounted reports whether there is a /proc to read.
func ProcMounted() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}
