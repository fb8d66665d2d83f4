package devservers

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Mark is a place in a server's log: the time for a container, sizes for files.
type Mark struct {
	at    time.Time
	sizes map[string]int64
}

// window is the most that is read from the end of one log file.
const window = 256 << 10

func (p *process) mark() Mark {
	m := Mark{at: time.Now(), sizes: map[string]int64{}}
	for _, name := range p.logs {
		if fi, err := os.Stat(name); err == nil {
			m.sizes[name] = fi.Size()
		}
	}
	return m
}

func (p *process) since(m Mark, lines int) string {
	var b strings.Builder
	for _, name := range p.logs {
		text, err := readFrom(name, m.sizes[name])
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
