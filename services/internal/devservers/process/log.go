package process

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// window is the most that is read from the end of one log file.
const window = 256 << 10

// Mark is the present end of the logs.
func (p *Process) Mark() engine.Mark {
	m := engine.Mark{Time: time.Now(), Sizes: map[string]int64{}}
	for _, name := range p.Logs {
		if fi, err := os.Stat(name); err == nil {
			m.Sizes[name] = fi.Size()
		}
	}
	return m
}

// Since returns the last lines of each log that were written after the mark.
func (p *Process) Since(m engine.Mark, lines int) string {
	var b strings.Builder
	for _, name := range p.Logs {
		text, err := readFrom(name, m.Sizes[name])
		if err != nil || strings.TrimSpace(text) == "" {
			continue // not written yet, or silent
		}
		b.WriteString(filepath.Base(name) + ":\n")
		b.WriteString(lastLines(text, lines))
	}
	return b.String()
}

func readFrom(name string, offset int64) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	if offset > fi.Size() { // it was rotated
		offset = 0
	}
	if _, err := f.Seek(max(offset, fi.Size()-window), io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), err
}

func lastLines(text string, n int) string {
	text = strings.TrimRight(text, "\n")
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n") + "\n"
}

// RotateLog puts a log that has grown beyond 8 MiB aside; one older one is kept.
func RotateLog(name string) error {
	fi, err := os.Stat(name)
	if os.IsNotExist(err) || err == nil && fi.Size() < 8<<20 {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(name, name+".1")
}
