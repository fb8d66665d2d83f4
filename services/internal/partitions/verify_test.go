package partitions

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestVerify finds what can be wrong with an export, without a database.
func TestVerify(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 30)
	good := t.TempDir()
	must[[]month.Month](t)(open(t, db, Options{}).Retire(t.Context(), good, year))
	p := export.PathOf(good, m, 1)
	file, manifest := must[[]byte](t)(os.ReadFile(p.File())), must[[]byte](t)(os.ReadFile(p.Manifest()))
	lines := strings.SplitAfter(strings.TrimSuffix(decompress(t, p.File()), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	swapped := append([]string{lines[1], lines[0]}, lines[2:]...)
	flipped := bytes.Clone(file)
	flipped[len(flipped)/2] ^= 1

	for name, tc := range map[string]struct {
		file, manifest []byte
		want           string
	}{
		"as it was":         {file, manifest, ""},
		"cut short":         {file[:len(file)-10], manifest, "not what it should hold"},
		"a bit flipped":     {flipped, manifest, "not what it should hold"},
		"more behind it":    {append(bytes.Clone(file), compressed(t, lines[0])...), manifest, "comes after"},
		"a line less":       {compressed(t, lines[1:]...), manifest, "bytes, not"},
		"two lines swapped": {compressed(t, swapped...), manifest, "comes after"},
		"a line changed":    {compressed(t, append([]string{strings.Replace(lines[0], "user_action", "user_Action", 1)}, lines[1:]...)...), manifest, "not what it should hold"},
		"a torn line":       {compressed(t, append(lines[:29:29], strings.TrimSuffix(lines[29], "\n"))...), manifest, "it has no end"},
		"another month":     {file, bytes.Replace(manifest, []byte(m.String()), []byte(old(13).String()), 1), "of another month"},
		"not JSON":          {compressed(t, "{\n"), manifest, "line 1"},
		"no event":          {compressed(t, "{}\n"), manifest, "no event_id"},
		"other rows":        {file, bytes.Replace(manifest, []byte(`"rows": 30`), []byte(`"rows": 31`), 1), "30 rows, not 31"},
		"other tx":          {file, bytes.Replace(manifest, []byte(`"first_tx": `), []byte(`"first_tx": 1`), 1), "another first or last"},
		"no file":           {nil, manifest, "no such file"},
		"no manifest":       {file, nil, "does not count as an export"},
		"a future format":   {file, bytes.Replace(manifest, []byte(export.Format), []byte("trailpost-export/9"), 1), "its format is"},
		"another's":         {file, bytes.Replace(manifest, []byte(`"file": "`), []byte(`"file": "x`), 1), "it is about the file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := export.PathOf(dir, m, 1)
			if tc.file != nil {
				if err := os.WriteFile(p.File(), tc.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.manifest != nil {
				if err := os.WriteFile(p.Manifest(), tc.manifest, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			err := export.Verify(dir, nil, nil, func(v export.Verified) error {
				n++
				switch {
				case tc.want == "" && v.Fault != nil:
					t.Error(v.Fault)
				case tc.want != "" && (v.Fault == nil || !strings.Contains(v.Fault.Error(), tc.want)):
					t.Errorf("%v, want %q", v.Fault, tc.want)
				}
				return nil
			})
			if err != nil || n != 1 {
				t.Errorf("%d exports, %v", n, err)
			}
		})
	}
	if err := export.Verify(good, []month.Month{m, old(15)}, nil, func(export.Verified) error { return nil }); err == nil || !strings.Contains(err.Error(), "no export of "+old(15).String()) {
		t.Errorf("a month without an export: %v", err)
	}
}

// TestVerifyFindsWhatIsMissing: nothing at all, half of an export, and what only the database
// knows.
func TestVerifyFindsWhatIsMissing(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 3)
	s, dir := open(t, db, Options{}), t.TempDir()
	verify := func(months []month.Month, retired []export.Retirement) (faults string, err error) {
		t.Helper()
		err = export.Verify(dir, months, retired, func(v export.Verified) error {
			if v.Fault != nil {
				faults += v.Fault.Error() + "\n"
			}
			return nil
		})
		return faults, err
	}
	want := func(what, fault, failure string, months []month.Month, retired []export.Retirement) {
		t.Helper()
		faults, err := verify(months, retired)
		if fault == "" && faults != "" || !strings.Contains(faults, fault) ||
			(failure == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), failure) {
			t.Errorf("%s: %q, %v, want %q, %q", what, faults, err, fault, failure)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	want("an empty directory", "", "has no exports", nil, nil)
	if err := os.WriteFile(filepath.Join(dir, "log_events_ytoday.ndjson.zst"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want("files of others", "", "has no exports", nil, nil)

	must[[]month.Month](t)(s.Retire(t.Context(), dir, year))
	retired := must[[]export.Retirement](t)(s.Retirements(t.Context()))
	p, away := export.PathOf(dir, m, 1), filepath.Join(t.TempDir(), "away")
	want("an export", "", "", nil, retired)
	want("an export by name", "", "", []month.Month{m}, retired)

	move(p.Manifest(), away)
	want("a file without a manifest", "without it "+p.File()+" does not count as an export", "", nil, nil)
	want("a file without a manifest, by name", "does not count as an export", "", []month.Month{m}, retired)
	move(away, p.Manifest())
	move(p.File(), away)
	want("a manifest without a file", "no such file", "", nil, retired)
	move(p.Manifest(), away+".too")
	want("neither", "is in "+m.Table()+".ndjson.zst, which is not in "+dir, "", nil, retired)
	want("neither, by name", "which is not in "+dir, "", []month.Month{m}, retired)
	want("neither, of another month", "", "no export of "+old(15).String(), []month.Month{old(15)}, retired)

	// An export of the same name that is another, whole though it is.
	move(away, p.File())
	move(away+".too", p.Manifest())
	retired[0].SHA256 = strings.Repeat("0", 64)
	want("another", "and its manifest has 3 rows and", "", nil, retired)
}

func compressed(t *testing.T, lines ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := must[*zstd.Encoder](t)(zstd.NewWriter(&b))
	for _, line := range lines {
		if _, err := z.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
