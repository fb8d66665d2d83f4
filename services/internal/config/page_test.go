package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

const (
	tableHint  = "go test ./services/internal/config -update"
	tableBegin = "<!-- variables: made by `" + tableHint + "` -->\n"
)

// The table of docs/configuration.md is the struct's.
func TestConfigurationPage(t *testing.T) {
	golden.Block(t, "docs/configuration.md", tableBegin, variableTable(), tableHint)
}

func variableTable() string {
	var b strings.Builder
	users := map[string]Binary{"producer": ForProducer, "consumer": ForConsumer, "migrate": ForMigrate | ForRoles | ForMonths}
	b.WriteString("\n| variable | default | read by | |\n| --- | --- | --- | --- |\n")
	for _, v := range Variables(ForProducer | ForConsumer | ForMigrate | ForRoles | ForMonths) {
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
