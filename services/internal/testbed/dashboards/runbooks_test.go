package dashboards_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

const runbooks = "../../../../docs/runbooks/*.md"

// What the runbooks ask PostgreSQL and RabbitMQ can be asked.
func TestRunbooksAskWhatServersKnow(t *testing.T) {
	queries := inRunbooks(t, `(?m)^kubectl .* -- psql -U (\w+) -d code_reviewer_logs -c '([^'\\]+)'$`)
	// Connections are the whole broker's, and listed without a vhost.
	lists := inRunbooks(t, `(?m)^kubectl .* -- rabbitmqctl (list_queues|list_consumers|list_policies|list_operator_policies)([a-z_ ]*)$`)
	if len(queries) < 5 || len(lists) < 5 {
		t.Fatalf("%d queries, %d lists", len(queries), len(lists))
	}

	t.Run("PostgreSQL", func(t *testing.T) {
		db := testbed.Postgres(t)
		for _, q := range queries {
			login := db.Reader
			if q[0] == "postgres" {
				login = db.Admin
			}
			if _, err := db.Connect(t, login).Exec(t.Context(), q[1]); err != nil {
				t.Errorf("%s: %s: %v", q[0], q[1], err)
			}
		}
	})

	t.Run("RabbitMQ", func(t *testing.T) {
		vhost := testbed.Rabbit(t)
		for _, columns := range lists {
			if out, err := vhost.Ctl(t.Context(), columns[0], strings.Fields(columns[1])...); err != nil {
				t.Errorf("rabbitmqctl %s: %v: %s", columns, err, out)
			}
		}
	})
}

// inRunbooks finds each different match of a pattern's groups in the runbooks.
func inRunbooks(t *testing.T, pattern string) (found [][]string) {
	t.Helper()
	files, err := filepath.Glob(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			if !slices.ContainsFunc(found, func(f []string) bool { return slices.Equal(f, m[1:]) }) {
				found = append(found, m[1:])
			}
		}
	}
	return found
}
