package chart_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Artifact Hub is told of the newest version what the chart's changelog says of it.
func TestChangesAreTheChangelogs(t *testing.T) {
	var meta struct {
		Version     string            `json:"version"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.Unmarshal(read(t, chart+"/Chart.yaml"), &meta); err != nil {
		t.Fatal(err)
	}
	type change struct {
		Kind        string `json:"kind"`
		Description string `json:"description"`
	}
	var got, want []change
	if err := yaml.UnmarshalStrict([]byte(meta.Annotations["artifacthub.io/changes"]), &got); err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(read(t, chart+"/CHANGELOG.md")), "\n## ")
	if !strings.HasPrefix(sections[1], "["+meta.Version+"]") {
		t.Fatalf("the newest version in CHANGELOG.md is not %s: %.20s", meta.Version, sections[1])
	}
	kind := ""
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$|^- (.+(?:\n {2}.+)*)$`).FindAllStringSubmatch(sections[1], -1) {
		if m[1] != "" {
			kind = strings.ToLower(m[1])
			continue
		}
		want = append(want, change{kind, strings.ReplaceAll(strings.Join(strings.Fields(m[2]), " "), "`", "")})
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		annotation, err := yaml.Marshal(want)
		t.Errorf("artifacthub.io/changes should be\n%s%v", annotation, err)
	}
	for _, c := range got {
		if !slices.Contains([]string{"added", "changed", "deprecated", "removed", "fixed", "security"}, c.Kind) {
			t.Errorf("Artifact Hub knows no changes of the kind %q", c.Kind)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
