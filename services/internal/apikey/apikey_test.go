package apikey

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

// newKey makes a key and its line.
func newKey(t *testing.T, name string) (key, line string) {
	t.Helper()
	key, line, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	return key, line
}

func TestNewKeysAreKeys(t *testing.T) {
	one, line := newKey(t, "billing")
	two, other := newKey(t, "billing")
	if one == two || len(one) != len("tp_")+43 || strings.Contains(line, one) {
		t.Errorf("keys %s, %s; line %s", one, two, line)
	}
	keys, err := Parse([]byte("# ours\n\n  " + line + "  \r\n" + other))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{one, two} {
		if name, ok := keys.Name(key); !ok || name != "billing" {
			t.Errorf("%s: %q %v", key, name, ok)
		}
	}
	for _, key := range []string{"", " ", one + " ", one[:len(one)-1], strings.ToUpper(one), "sha256:" + one, line, strings.Fields(line)[1]} {
		if name, ok := keys.Name(key); ok || name != "" {
			t.Errorf("%q is taken for %q's", key, name)
		}
	}
	if got := keys.Names(); keys.Len() != 2 || len(got) != 1 {
		t.Errorf("%d keys of %v", keys.Len(), got)
	}
	for _, name := range []string{"", "-x", "a b", "a\nb", "ü", strings.Repeat("x", 65)} {
		if _, _, err := New(name); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}

// A key of any kind can be hashed by anybody: the chart does it with Sprig's sha256sum.
func TestParseTakesEverybodysHashes(t *testing.T) {
	keys, err := Parse(fmt.Appendf(nil, "\ufeffchart sha256:%X\n", sha256.Sum256([]byte("secret"))))
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := keys.Name("secret"); name != "chart" || !ok {
		t.Errorf("%q %v", name, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	_, line := newKey(t, "billing")
	secret := "tp_a-key-that-was-put-in-by-mistake"
	for name, text := range map[string]string{
		"nothing":      "",
		"blanks":       " \n\n",
		"a key":        line + "\nbilling " + secret,
		"a key alone":  secret,
		"other hash":   "billing md5:" + secret,
		"short":        line[:len(line)-1],
		"long":         line + "0",
		"no hex":       "billing sha256:" + strings.Repeat("g", 64),
		"three words":  line + " " + secret,
		"bad name":     "$x " + strings.Fields(line)[1],
		"twice":        line + "\n" + strings.Replace(line, "billing", "other", 1),
		"binary":       "\x00\xff\n",
		"no separator": strings.Replace(line, " ", "", 1),
	} {
		_, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("%s is taken", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
	if keys, err := Parse([]byte("# nobody\n")); err != nil || keys.Len() != 0 {
		t.Errorf("a file that lets nobody in: %v", err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A volume as the kubelet writes it: keys → ..data/keys, ..data → a folder, which is
// replaced as a whole.
type volume struct {
	dir string
	n   int
}

func (v *volume) path() string { return filepath.Join(v.dir, "keys") }

func (v *volume) write(t *testing.T, text string) {
	t.Helper()
	v.n++
	folder := fmt.Sprintf("..%d", v.n)
	for _, err := range []error{
		os.Mkdir(filepath.Join(v.dir, folder), 0o700),
		os.WriteFile(filepath.Join(v.dir, folder, "keys"), []byte(text), 0o600),
		os.Symlink(folder, filepath.Join(v.dir, "..data_tmp")),
		os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if v.n == 1 {
		if err := os.Symlink("..data/keys", v.path()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileIsFollowed(t *testing.T) {
	log, registry := new(logs.Buffer), prometheus.NewRegistry()
	count := func(part string) int { return strings.Count(log.String(), part) }
	metrics := NewMetrics(registry)
	v := &volume{dir: t.TempDir()}
	old, oldLine := newKey(t, "billing")
	fresh, freshLine := newKey(t, "billing")
	v.write(t, oldLine)
	f, err := Open(v.path(), slog.New(slog.NewTextHandler(log, nil)), metrics)
	if err != nil {
		t.Fatal(err)
	}
	f.interval = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	knows := func(key string) bool { _, ok := f.Name(key); return ok }
	if !knows(old) || knows(fresh) {
		t.Fatal("the first file does not hold")
	}

	v.write(t, oldLine+"\n"+freshLine)
	eventually(t, "the added key holds", func() bool { return knows(fresh) })
	if !knows(old) {
		t.Error("the old key went")
	}
	v.write(t, freshLine)
	eventually(t, "the revoked key is refused", func() bool { return !knows(old) })
	if !knows(fresh) {
		t.Error("the new key went, too")
	}
	// Mistakes keep what was there, and are told once each.
	for name, spoil := range map[string]func(){
		"wrong": func() { v.write(t, "billing "+fresh) },
		"empty": func() { v.write(t, "") },
		"gone": func() {
			if err := os.Remove(filepath.Join(v.dir, "..data")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		before := count("level=ERROR")
		spoil()
		eventually(t, name+" is told", func() bool { return count("level=ERROR") == before+1 })
		if !knows(fresh) || testutil.ToFloat64(metrics.failing) != 1 || testutil.ToFloat64(metrics.keys) != 1 {
			t.Errorf("%s: the keys from before don't hold, or the metrics don't tell", name)
		}
		mended := count("the same")
		v.write(t, freshLine)
		eventually(t, name+" is mended", func() bool { return count("the same") == mended+1 })
		if testutil.ToFloat64(metrics.failing) != 0 || count("level=ERROR") != before+1 {
			t.Errorf("%s is told more than once, or after its end", name)
		}
	}
	v.write(t, "# nobody\n")
	eventually(t, "nobody is let in", func() bool { return !knows(fresh) })
	if count(fresh)+count(old)+count(strings.TrimPrefix(freshLine, "billing sha256:")) > 0 {
		t.Error("a key or its hash is in the log")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(strings.Repeat("#\n", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), dir, large} {
		if _, err := Open(path, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry())); err == nil || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
}
