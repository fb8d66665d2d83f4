package partitions

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// states writes a list as one line.
func states(t *testing.T, s *Session) string {
	t.Helper()
	var words []string
	for _, p := range must[[]Partition](t)(s.List(t.Context(), true)) {
		if p.State == Default {
			words = append(words, fmt.Sprintf("default:%d", *p.Rows))
		} else if p.Month.End().Before(time.Now().Add(-year)) {
			words = append(words, fmt.Sprintf("%s:%s:%d", p.Month, p.State, *p.Rows))
		}
	}
	return strings.Join(words, " ")
}

// TestRetire: months go, whole and one after the other, and what is in their files is what was in
// their tables.
func TestRetire(t *testing.T) {
	db := testbed.Postgres(t)
	older, newer := old(15), old(14)
	makeMonth(t, db, older, 2500)
	makeMonth(t, db, newer, 10)
	owner := db.Connect(t, db.Owner)
	s, dir := open(t, db, Options{}), t.TempDir()

	const content = `SELECT md5(string_agg(e::text, '|' ORDER BY event_id)) FROM `
	before := value[string](t, owner, content+older.Table()+" e")
	if got, want := states(t, s), fmt.Sprintf("%s:attached:2500 %s:attached:10 default:0", older, newer); got != want {
		t.Errorf("at first: %s, want %s", got, want)
	}
	done := must[[]month.Month](t)(s.Retire(t.Context(), dir, year))
	if month.Join(done) != older.String()+", "+newer.String() {
		t.Errorf("retired: %v", done)
	}
	if got, want := states(t, s), fmt.Sprintf("%s:dropped:2500 %s:dropped:10 default:0", older, newer); got != want {
		t.Errorf("afterwards: %s, want %s", got, want)
	}
	if done := must[[]month.Month](t)(s.Retire(t.Context(), dir, year)); len(done) > 0 {
		t.Errorf("retired again: %v", done)
	}

	// Into a table again, as docs/retention.md says.
	run(t, owner, "CREATE TABLE restored (LIKE log_events)")
	for line := range strings.Lines(decompress(t, export.PathOf(dir, older, 1).File())) {
		run(t, owner, "INSERT INTO restored SELECT (json_populate_record(NULL::restored, $1::json)).*", strings.TrimSuffix(line, "\n"))
	}
	if after := value[string](t, owner, content+"restored e"); after != before {
		t.Error("the file restores to other rows")
	}
	manifest := must[*export.Manifest](t)(export.PathOf(dir, older, 1).ReadManifest())
	const digest = `SET TimeZone = 'UTC'; SELECT encode(sha256(string_agg(sha256(convert_to(row_to_json(e)::text, 'UTF8')), ''::bytea ORDER BY event_id)), 'hex') FROM restored e`
	results, err := owner.PgConn().Exec(t.Context(), digest).ReadAll()
	if err != nil || string(results[1].Rows[0][0]) != manifest.ContentSHA256 {
		t.Errorf("psql's content_sha256 is another: %v", err)
	}
	var names []string
	for _, c := range manifest.Columns {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "event_id session_id event_type username payload timestamp received_at tx received_from source source_id" {
		t.Errorf("columns: %s", got)
	}
	if id := value[string](t, owner, "SELECT system_identifier::text FROM pg_control_system()"); manifest.SystemIdentifier != id || manifest.TxSystemIdentifier != id {
		t.Errorf("system identifiers %s and %s, want %s", manifest.SystemIdentifier, manifest.TxSystemIdentifier, id)
	}
}

func decompress(t *testing.T, path string) string {
	t.Helper()
	file := must[*os.File](t)(os.Open(path))
	defer file.Close()
	z := must[*zstd.Decoder](t)(zstd.NewReader(file))
	defer z.Close()
	return string(must[[]byte](t)(io.ReadAll(z)))
}

// late makes an event of a moment.
func late(at time.Time) event.Event {
	id := uuid.Must(uuid.NewV7())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	now := time.Now().UTC().Truncate(time.Microsecond)
	return event.Event{ID: id, SessionID: 1, Type: "user_action", Timestamp: now, ReceivedAt: now, Payload: []byte(`{}`)}
}

// TestLateEvents of a month that is detached wait in the default partition; of one that is dropped,
// they make it anew, and it is retired into a second file beside the first.
func TestLateEvents(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 20)
	s, w, dir := open(t, db, Options{}), writer(t, db), t.TempDir()

	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start().Add(time.Hour))}, false))
	must[int](t)(s.Ensure(t.Context(), 3))
	if got, want := states(t, s), m.String()+":detached:20 default:1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	must[[]month.Month](t)(s.Retire(t.Context(), dir, year))
	first := must[[]byte](t)(os.ReadFile(export.PathOf(dir, m, 1).File()))

	if made := must[int](t)(s.Ensure(t.Context(), 3)); made != 1 {
		t.Errorf("%d partitions made for the late event", made)
	}
	if got, want := states(t, s), m.String()+":dropped:20 "+m.String()+":attached:1 default:0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	must[[]month.Month](t)(s.Retire(t.Context(), dir, year))
	if got, want := states(t, s), m.String()+":dropped:20 "+m.String()+":dropped:1 default:0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	table := m.Table()
	want := fmt.Sprintf("%[1]s.2.manifest.json %[1]s.2.ndjson.zst %[1]s.manifest.json %[1]s.ndjson.zst", table)
	if got := files(t, dir); got != want {
		t.Errorf("in the directory: %s\nwant %s", got, want)
	}
	if string(must[[]byte](t)(os.ReadFile(export.PathOf(dir, m, 1).File()))) != string(first) {
		t.Error("the first export was changed")
	}
}

// TestMovedAway: an export that was moved elsewhere keeps its name, which the month's next never
// takes: moved there, too, it would be written over.
func TestMovedAway(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 20)
	s, w, dir, archive := open(t, db, Options{}), writer(t, db), t.TempDir(), t.TempDir()
	owner := db.Connect(t, db.Owner)
	table := m.Table()
	for n, moved := range []string{".manifest.json .ndjson.zst", ".ndjson.zst", ".manifest.json", ""} {
		must[[]month.Month](t)(s.Retire(t.Context(), dir, year))
		base := strings.TrimSuffix(export.PathOf(dir, m, n+1).File(), ".ndjson.zst")
		for suffix := range strings.FieldsSeq(moved) {
			if err := os.Link(base+suffix, filepath.Join(archive, filepath.Base(base)+suffix)); err != nil { // which a name that is taken refuses
				t.Errorf("archiving: %v", err)
			}
			if err := os.Remove(base + suffix); err != nil {
				t.Fatal(err)
			}
		}
		must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start().Add(time.Hour))}, false))
		must[int](t)(s.Ensure(t.Context(), 3))
	}
	const named = "SELECT string_agg(export, ' ' ORDER BY dropped_at) FROM retired_months"
	want := fmt.Sprintf("%[1]s.ndjson.zst %[1]s.2.ndjson.zst %[1]s.3.ndjson.zst %[1]s.4.ndjson.zst", table)
	if got := value[string](t, owner, named); got != want {
		t.Errorf("retired_months names %s, want %s", got, want)
	}
	want = fmt.Sprintf("%[1]s.2.manifest.json %[1]s.3.ndjson.zst %[1]s.4.manifest.json %[1]s.4.ndjson.zst", table)
	if got := files(t, dir); got != want {
		t.Errorf("in the directory: %s, want %s", got, want)
	}

	// drop finds the export that it needs behind those that are not there, and one that was not
	// finished is swept away.
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	for _, n := range []int{1, 7} {
		if err := os.WriteFile(export.PathOf(dir, m, n).File()+".123.partial", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must[[]export.Manifest](t)(s.Export(t.Context(), dir, m))
	must[[]month.Month](t)(s.Drop(t.Context(), dir, m))
	if got := files(t, dir); got != want+fmt.Sprintf(" %[1]s.5.manifest.json %[1]s.5.ndjson.zst", table) {
		t.Errorf("in the directory: %s", got)
	}
}

// TestMovedAwayAndAttached: an export after which the month was attached again, or dropped without
// an export, keeps its name, too, though retired_months does not have it.
func TestMovedAwayAndAttached(t *testing.T) { inBothWays(t, testMovedAwayAndAttached) }

func testMovedAwayAndAttached(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 5)
	s, w, dir, archive := open(t, db, Options{}), writer(t, db), t.TempDir(), t.TempDir()
	const attached, drop, lose = "attach", "drop", "lose"
	for _, end := range []string{attached, attached, drop, attached, lose, attached, drop, ""} {
		must[[]month.Month](t)(s.Detach(t.Context(), year))
		must[[]export.Manifest](t)(s.Export(t.Context(), dir))
		if end == drop {
			must[[]month.Month](t)(s.Drop(t.Context(), dir))
		}
		for name := range strings.FieldsSeq(files(t, dir)) {
			if err := os.Link(filepath.Join(dir, name), filepath.Join(archive, name)); err != nil { // which a name that is taken refuses
				t.Errorf("archiving: %v", err)
			}
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start().Add(time.Hour))}, false))
		switch end {
		case attached:
			must[[]attach.Attachment](t)(s.Attach(t.Context()))
		case lose:
			must[[]month.Month](t)(s.DropWithoutExport(t.Context(), m))
		}
		must[int](t)(s.Ensure(t.Context(), 3))
	}
	if got := len(strings.Fields(files(t, archive))); got != 2*8 {
		t.Errorf("the archive has %d files, want 16: %s", got, files(t, archive))
	}
	if _, err := os.Stat(export.PathOf(archive, m, 8).File()); err != nil {
		t.Error("the names have gaps:", err)
	}
}

// TestAnEmptyMonth has an export, too.
func TestAnEmptyMonth(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 1)
	run(t, db.Connect(t, db.Owner), "DELETE FROM "+m.Table())
	dir := t.TempDir()
	must[[]month.Month](t)(open(t, db, Options{}).Retire(t.Context(), dir, year))
	err := export.Verify(dir, nil, nil, func(v export.Verified) error {
		if v.Fault != nil || v.Rows != 0 || v.Month != m {
			t.Errorf("%+v", v)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestExportIsRepeatable: what is exported is compared and left as it is.
func TestExportIsRepeatable(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 20)
	s, dir := open(t, db, Options{}), t.TempDir()
	if _, err := s.Export(t.Context(), dir, m); err == nil || !strings.Contains(err.Error(), "is attached, not detached") {
		t.Errorf("of an attached month: %v", err)
	}
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	first := must[[]export.Manifest](t)(s.Export(t.Context(), dir))
	again := must[[]export.Manifest](t)(s.Export(t.Context(), dir, m))
	if len(first) != 1 || len(again) != 1 || !again[0].Equal(first[0].Content) || !again[0].ExportedAt.Equal(first[0].ExportedAt) {
		t.Errorf("%+v\nand then\n%+v", first, again)
	}
	if _, err := s.Export(t.Context(), filepath.Join(dir, "nowhere")); err == nil {
		t.Error("into a directory that is not there")
	}
	if _, err := s.Export(t.Context(), dir, old(30)); err == nil || !strings.Contains(err.Error(), "there is no table of") {
		t.Errorf("of no month: %v", err)
	}
}
