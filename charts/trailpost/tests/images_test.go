package chart_test

import (
	"strings"
	"testing"
)

func images(t *testing.T, args ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, p := range pods(t, parse(t, mustTemplate(t, args...))) {
		for _, c := range p.containers() {
			found[c.Image] = true
		}
	}
	return found
}

func TestImages(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, test := range map[string]struct {
		args string
		want string
	}{
		"the chart's version": {"logLevel=INFO", "trailpost/producer:0.2.0"},
		"a tag":               {"producer.image.tag=dev", "trailpost/producer:dev"},
		"a registry":          {"producer.image.registry=r.example.org:5000", "r.example.org:5000/trailpost/producer:0.2.0"},
		"a digest":            {"producer.image.digest=" + digest, "trailpost/producer@" + digest},
		"a tag and a digest":  {"producer.image.tag=v2,producer.image.digest=" + digest, "trailpost/producer:v2@" + digest},
		"a global registry":   {"producer.image.registry=r,global.imageRegistry=g.example.org", "g.example.org/trailpost/producer:0.2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := images(t, "--set", test.args); !found[test.want] {
				t.Errorf("no %s in %v", test.want, found)
			}
		})
	}
}

// Registries go away and networks are closed: every image can come from one's own.
func TestGlobalRegistryIsEverywhere(t *testing.T) {
	for image := range images(t, "--set", "global.imageRegistry=g.example.org") {
		if !strings.HasPrefix(image, "g.example.org/") {
			t.Errorf("%s", image)
		}
	}
	for _, p := range pods(t, parse(t, mustTemplate(t, "--set", "global.imagePullSecrets={registry}"))) {
		if s := p.spec.ImagePullSecrets; len(s) != 1 || s[0].Name != "registry" {
			t.Errorf("%s pulls with %v", p.of, s)
		}
	}
}
