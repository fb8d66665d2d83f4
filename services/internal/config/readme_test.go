package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	readme     = "../../../README.md"
	tableBegin = "<!-- variables: made by `go test ./services/internal/config -update` -->\n"
	tableEnd   = "<!-- end -->\n"
)

// The README's table is the struct's.
func TestReadmeListsTheVariables(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	table, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", readme)
	}
	want := variableTable()
	if table == want {
		return
	}
	if *update {
		if err := os.WriteFile(readme, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s lists other variables than the code; `go test ./services/internal/config -update` mends it", readme)
}

func variableTable() string {
	var b strings.Builder
	users := map[string]Binary{"producer": ForProducer, "consumer": ForConsumer, "migrate": ForMigrate | ForRoles}
	b.WriteString("\n| variable | default | read by | |\n| --- | --- | --- | --- |\n")
	for _, v := range Variables(ForProducer | ForConsumer | ForMigrate | ForRoles) {
		var by []string
		for _, name := range []string{"producer", "consumer", "migrate"} {
			for _, other := range Variables(users[name]) {
				if other.Name == v.Name {
					by = append(by, name)
				}
			}
		}
		standard := "–"
		switch {
		case v.Required:
			standard = "required"
		case v.Default != "":
			standard = "`" + v.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.Name, standard, strings.Join(by, ", "), v.Help)
	}
	b.WriteString("\n")
	return b.String()
}
