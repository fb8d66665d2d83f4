package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// errSyntax is all a parser says: the message that people read is made from
// the field's tags (see field.want), and never repeats a library's words.
var errSyntax = errors.New("syntax")

// LogLevel is a level of log/slog, written with the names of Python's logging.
type LogLevel slog.Level

// levelCritical is Python's CRITICAL, which slog does not have.
const levelCritical = slog.LevelError + 4

var levels = map[string]slog.Level{
	"DEBUG":    slog.LevelDebug,
	"INFO":     slog.LevelInfo,
	"WARNING":  slog.LevelWarn,
	"WARN":     slog.LevelWarn,
	"ERROR":    slog.LevelError,
	"CRITICAL": levelCritical,
}

// Level makes LogLevel a slog.Leveler.
func (l LogLevel) Level() slog.Level { return slog.Level(l) }

// UnmarshalText reads a name in any case.
func (l *LogLevel) UnmarshalText(text []byte) error {
	level, ok := levels[strings.ToUpper(strings.TrimSpace(string(text)))]
	if !ok {
		return errSyntax
	}
	*l = LogLevel(level)
	return nil
}

// ByteSize is a number of bytes.
type ByteSize int64

// byteUnits: the longest suffix first, since all end in B.
var byteUnits = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
	{"b", 1}, {"", 1},
}

// UnmarshalText reads a whole number, with a unit such as KiB, MiB, GiB, kB,
// MB or GB, in any case, or without one.
func (b *ByteSize) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			return errSyntax
		}
		*b = ByteSize(n * unit.bytes)
		return nil
	}
	return errSyntax
}

// Networks is a list of addresses and networks (10.0.0.0/8) with commas between.
type Networks string

// UnmarshalText keeps a list that can be read.
func (n *Networks) UnmarshalText(text []byte) error {
	if _, err := parseNetworks(string(text)); err != nil {
		return errSyntax
	}
	*n = Networks(text)
	return nil
}

// Prefixes returns them as networks.
func (n Networks) Prefixes() []netip.Prefix {
	if n == "" {
		return nil
	}
	list, _ := parseNetworks(string(n)) // checked by Load
	return list
}

func parseNetworks(text string) (list []netip.Prefix, err error) {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if address, err := netip.ParseAddr(part); err == nil {
			address = address.Unmap().WithZone("")
			list = append(list, netip.PrefixFrom(address, address.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, err
		}
		list = append(list, network.Masked())
	}
	return list, nil
}

// Ports is a list of ports with commas between.
type Ports string

// UnmarshalText keeps a list of ports from 1 to 65535.
func (p *Ports) UnmarshalText(text []byte) error {
	if _, err := parsePorts(string(text)); err != nil {
		return errSyntax
	}
	*p = Ports(text)
	return nil
}

// List returns them as numbers.
func (p Ports) List() []uint16 {
	list, _ := parsePorts(string(p)) // checked by Load
	return list
}

func parsePorts(text string) (list []uint16, err error) {
	for part := range strings.SplitSeq(text, ",") {
		port, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16)
		if err != nil || port == 0 {
			return nil, errSyntax
		}
		list = append(list, uint16(port))
	}
	return list, nil
}

// parseDuration reads seconds ("5", "0.5"), a Go duration, or days with a Go
// duration after them or not ("30d", "1d12h").
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if d, err := scale(s, time.Second); err == nil {
		return d, nil
	}
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	d, err := scale(days, 24*time.Hour)
	if err != nil || rest == "" {
		return d, err
	}
	r, err := time.ParseDuration(rest)
	if err != nil || r < 0 || d > math.MaxInt64-r {
		return 0, errSyntax
	}
	return d + r, nil
}

// ParseDuration reads a duration as the variables are written: seconds, a Go duration, or days ("400d", "1d12h").
func ParseDuration(text string) (time.Duration, error) {
	d, err := parseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 400d or 36h", text)
	}
	return d, nil
}

// scale reads a plain decimal number of units.
func scale(number string, unit time.Duration) (time.Duration, error) {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	if v := f * float64(unit); math.Abs(v) < math.MaxInt64 { // false for NaN, too
		return time.Duration(math.Round(v)), nil
	}
	return 0, errSyntax
}

// parseBool knows what Python's settings libraries know.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "yes", "on", "t", "y":
		return true, nil
	case "false", "0", "no", "off", "f", "n":
		return false, nil
	}
	return false, errSyntax
}
