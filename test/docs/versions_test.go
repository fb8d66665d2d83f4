package docs

import (
	"regexp"
	"strings"
	"testing"
)

// The chart decides which Kubernetes it takes; all pages say the same.
func TestPagesNameTheChartsKubernetes(t *testing.T) {
	said := regexp.MustCompile(`Kubernetes *\|? *(1\.\d+) (?:and|or) later`)
	chart := said.FindStringSubmatch(read(t, "charts/trailpost/Chart.yaml"))
	if chart == nil {
		t.Fatal("Chart.yaml does not say which Kubernetes it is for")
	}
	found := 0
	for _, p := range pages(t, "README.md", "docs", "k8s", "charts") {
		for _, match := range said.FindAllStringSubmatch(strings.Join(p.lines, " "), -1) {
			found++
			if match[1] != chart[1] {
				t.Errorf("%s says %s, the chart %s", p.path, match[1], chart[1])
			}
		}
	}
	if found < 2 {
		t.Errorf("%d pages say it", found)
	}
}
