package broker

import (
	"bytes"
	"fmt"
	"slices"
)

// Bounds of a group that is parsed.
const (
	maxGroupLines = 10_000
	maxParseBytes = 1 << 20
)

// space is what JSON allows between its tokens (RFC 8259, 2). A line of other white space, which
// Unicode has more of, is malformed, not blank.
const space = " \t\r\n"

// Lines returns the lines of a group's body, without blank ones. The error says which bound the
// group is over.
func (d *Delivery) Lines() ([][]byte, error) {
	if len(d.Body) > maxParseBytes {
		return nil, fmt.Errorf("%d bytes, of at most %d", len(d.Body), maxParseBytes)
	}
	lines := make([][]byte, 0, min(bytes.Count(d.Body, []byte{'\n'})+1, maxGroupLines))
	for line := range bytes.Lines(d.Body) {
		if line = bytes.Trim(line, space); len(line) == 0 {
			continue
		}
		if len(lines) == maxGroupLines {
			return nil, fmt.Errorf("more than %d lines", maxGroupLines)
		}
		lines = append(lines, slices.Clip(line))
	}
	return lines, nil
}
