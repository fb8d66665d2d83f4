// Package dashboards asks a Prometheus what the Grafana dashboards of the chart ask, so that
// tests can say that no panel is empty.
package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Query is one that a dashboard asks.
type Query struct {
	Dashboard string // its title
	Panel     string // the panel's title, or "variable NAME"
	Expr      string // PromQL
}

func (q Query) String() string { return fmt.Sprintf("%s / %s: %s", q.Dashboard, q.Panel, q.Expr) }

// Values are what stands for a dashboard's variables. Unless it is among them,
// $__rate_interval is 2m, as in a Grafana that knows of a scrape every 30 s.
type Values map[string]string

// model is what we need to know of a dashboard.
type model struct {
	Title      string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

type panel struct {
	Title   string
	Panels  []panel // of a collapsed row
	Targets []struct{ Expr string }
}

// Queries lists what the dashboards of a folder ask, panel by panel, and what their
// variables do, with the values put in. A variable without a value is an error.
func Queries(dir string, values Values) ([]Query, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no dashboards", dir)
	}
	var all []Query
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // where the test says
		if err != nil {
			return nil, err
		}
		var m model
		if err := json.Unmarshal(text, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list := m.queries()
		for i := range list {
			if list[i].Expr, err = values.put(list[i].Expr); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", file, list[i].Panel, err)
			}
		}
		all = append(all, list...)
	}
	return all, nil
}

// labelValues is Grafana's own function, which only variables know.
var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

func (m model) queries() (list []Query) {
	for _, v := range m.Templating.List {
		if v.Type == "query" {
			list = append(list, Query{m.Title, "variable " + v.Name, labelValues.ReplaceAllString(v.Query, "group by ($2) ($1)")})
		}
	}
	var walk func([]panel)
	walk = func(panels []panel) {
		for _, p := range panels {
			for _, t := range p.Targets {
				list = append(list, Query{m.Title, p.Title, t.Expr})
			}
			walk(p.Panels)
		}
	}
	walk(m.Panels)
	return list
}

var variable = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(:\w+)?\}`)

// put replaces $name and ${name}.
func (v Values) put(expr string) (string, error) {
	var missing []string
	expr = variable.ReplaceAllStringFunc(expr, func(text string) string {
		name := strings.Trim(strings.TrimPrefix(text, "$"), "{}")
		name, _, _ = strings.Cut(name, ":")
		value, ok := v[name]
		switch {
		case ok:
		case name == "__rate_interval":
			value = "2m"
		default:
			missing = append(missing, text)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("no value for %s", strings.Join(missing, ", "))
	}
	return expr, nil
}
