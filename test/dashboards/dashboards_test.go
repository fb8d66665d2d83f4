package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const folder = "../../charts/trailpost/dashboards"

func TestQueriesNeedTheirVariables(t *testing.T) {
	if _, err := Queries(folder, Values{"namespace": "here"}); err == nil || !strings.Contains(err.Error(), "no value for $job") {
		t.Errorf("%v", err)
	}
	if _, err := Queries(t.TempDir(), nil); err == nil {
		t.Error("a folder without dashboards is none's fault")
	}
	for expr, want := range map[string]string{
		`rate(a{job=~"$job"}[$__rate_interval])`: `rate(a{job=~"x|y"}[2m])`,
		`a{job=~"${job:regex}",b="${job}"}`:      `a{job=~"x|y",b="x|y"}`,
		`label_replace(a, "b", "c", "d", ".+")`:  `label_replace(a, "b", "c", "d", ".+")`,
	} {
		if got, err := (Values{"job": "x|y"}).put(expr); got != want || err != nil {
			t.Errorf("%s: %s, %v", expr, got, err)
		}
	}
}

// whole is what a reader sees of a dashboard.
type whole struct {
	UID, Title, Description string
	Templating              struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		Type, Title, Description string
		Datasource               struct{ UID string }
		Targets                  []struct{ Expr, RefID string }
		Links                    []struct{ URL string }
		GridPos                  struct{ X, Y, W, H int }
		FieldConfig              struct{ Defaults struct{ Unit string } }
	}
}

// Every panel says what it shows, in which unit, and where to read on; and none lies on
// another.
func TestPanelsExplainThemselves(t *testing.T) {
	rules, err := os.ReadFile("../../charts/trailpost/rules/trailpost.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v: %d dashboards", err, len(files))
	}
	runbook := regexp.MustCompile(`^https://github\.com/trailpost/trailpost/blob/main/docs/runbooks/(\w+)\.md$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d whole
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if d.UID != strings.TrimSuffix(filepath.Base(file), ".json") || d.Title == "" || d.Description == "" {
			t.Errorf("%s: uid %q, title %q, description %q", file, d.UID, d.Title, d.Description)
		}
		var variables []string
		for _, v := range d.Templating.List {
			variables = append(variables, v.Name)
		}
		if !slices.Contains(variables, "datasource") || !slices.Contains(variables, "namespace") {
			t.Errorf("%s has the variables %q", d.Title, variables)
		}
		taken := map[[2]int]string{}
		for _, p := range d.Panels {
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					place := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if place[0] >= 24 || taken[place] != "" {
						t.Fatalf("%s: %s does not fit beside %s", d.Title, p.Title, taken[place])
					}
					taken[place] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
				t.Errorf("%s: %q has the unit %q, the data source %q and the description %q",
					d.Title, p.Title, p.FieldConfig.Defaults.Unit, p.Datasource.UID, p.Description)
			}
			refs := map[string]bool{}
			for _, target := range p.Targets {
				if target.RefID == "" || refs[target.RefID] {
					t.Errorf("%s: %q has two queries %q", d.Title, p.Title, target.RefID)
				}
				refs[target.RefID] = true
			}
			for _, link := range p.Links {
				if m := runbook.FindStringSubmatch(link.URL); len(m) == 0 || !strings.Contains(string(rules), "\n      - alert: "+m[1]+"\n") {
					t.Errorf("%s: %q links to %s, which is no alert's runbook", d.Title, p.Title, link.URL)
				}
			}
		}
	}
}
