package chart_test

import (
	"regexp"
	"testing"
)

// namedPort finds what names a container's port, and what refers to one by name.
var namedPort = regexp.MustCompile(`(?m)- name: (\S+)\n\s+containerPort:|targetPort: ([a-z]\S*)$`)

// A port's name has at most 15 characters (RFC 6335), which the API server insists on and its schema does not say.
func TestPortNamesAreShort(t *testing.T) {
	for name, args := range valueSets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := namedPort.FindAllStringSubmatch(string(mustTemplate(t, args...)), -1)
			if len(found) == 0 {
				t.Fatal("no named port: this test does not test what it says")
			}
			for _, match := range found {
				if port := match[1] + match[2]; len(port) > 15 {
					t.Errorf("%s has %d characters", port, len(port))
				}
			}
		})
	}
}
