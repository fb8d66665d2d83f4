package values

import (
	"fmt"
	"log/slog"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0.5": 500 * time.Millisecond, " 2 ": 2 * time.Second, "0": 0,
		"1m30s": 90 * time.Second, "2ms": 2 * time.Millisecond,
		"30d": 720 * time.Hour, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "5x", "1d-1h", "1d 1h", "inf", "nan", "1e30", "-1e30d", "106751d23h59m"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"67108864": 64 << 20, "64MiB": 64 << 20, "64 mib": 64 << 20, "1GiB": 1 << 30, "5kB": 5000, "7b": 7, "0": 0,
	} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1TiB", "9223372036854775807KiB"} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestLogLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "Info": slog.LevelInfo, "WARN": slog.LevelWarn, "warning": slog.LevelWarn,
		"ERROR": slog.LevelError, "critical": levelCritical,
	} {
		var got LogLevel
		if err := got.UnmarshalText([]byte(text)); err != nil || got.Level() != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseBool(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "1": true, "YES": true, "on": true, "False": false, "0": false, "no": false, "off": false} {
		if got, err := parseBool(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := parseBool("perhaps"); err == nil {
		t.Error("perhaps is no bool")
	}
}

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":                          "[10.0.0.0/8]",
		" 10.1.2.3/8 , 192.0.2.1,2001:db8::1": "[10.0.0.0/8 192.0.2.1/32 2001:db8::1/128]",
		"::ffff:192.0.2.1":                    "[192.0.2.1/32]",
	} {
		var got Networks
		if err := got.UnmarshalText([]byte(text)); err != nil || fmt.Sprint(got.Prefixes()) != want {
			t.Errorf("%q: %v, %v, want %s", text, got.Prefixes(), err, want)
		}
	}
	for _, text := range []string{",", "10.0.0.0/8,", "proxy.example.org", "10.0.0.0/33", "10.0.0"} {
		if err := new(Networks).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if got := Networks("").Prefixes(); got != nil {
		t.Errorf("nothing is %v", got)
	}
}
