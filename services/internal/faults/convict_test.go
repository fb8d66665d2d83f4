package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutant is a build that breaks a promise on purpose.
type mutant struct {
	name    string
	file    string      // of the source, from the module's root
	changes [][2]string // text, and what stands in its place
}

var mutants = []mutant{
	{"acks before it commits", "services/internal/drain/worker.go", [][2]string{
		{`	results, err := a.store(ctx, b.events, b.redelivered)
`, `	if err := s.Ack(b.lastTag(), len(b.messages)); err != nil {
		return err
	}
	results, err := a.store(ctx, b.events, b.redelivered)
`},
		{`	if err := s.Ack(b.lastTag(), len(b.messages)); err != nil {
		return err
	}
	w.report(`, `	w.report(`},
	}},
	{"answers 202 before the confirm", "services/internal/broker/publisher.go", [][2]string{
		{`	if err := p.enqueue(func() { p.lanes.addSingle(s) }); err != nil {
		return err
	}
`, `	if err := p.enqueue(func() { p.lanes.addSingle(s) }); err != nil {
		return err
	}
	if err := ctx.Err(); err == nil {
		return nil
	}
`},
	}},
}

// The judge can convict: under the same schedule, a build that breaks a promise loses
// events, and is found out. The builds are made from the source with one file of it
// replaced, so that nothing of it can be in a release.
func TestTheJudgeConvicts(t *testing.T) {
	if !*allFlag {
		return // it builds two programs; `make faults` has it
	}
	seed := seedOf(t)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			w := newWorld(t, m.build(t))
			// What is lost does not come, however long one waits.
			counts, v := w.random(seed, min(*durationFlag, time.Minute), 20*time.Second)
			t.Logf("\n%s", table(counts, v))
			if v.Lost == 0 {
				t.Error("nothing was lost, or the judge did not see it")
			}
		})
	}
}

// build makes this test's binary with the changes.
func (m *mutant) build(t *testing.T) (binary string) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(root, m.file)
	b, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, c := range m.changes {
		if strings.Count(text, c[0]) != 1 {
			t.Fatalf("%s has changed: what should be replaced is there %d times:\n%s", m.file, strings.Count(text, c[0]), c[0])
		}
		text = strings.Replace(text, c[0], c[1], 1)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(text), overlay: replace} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "services.test")
	out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, out))
	}
	return binary
}
