package chart_test

import (
	"bytes"
	"testing"
)

// `helm upgrade --reuse-values` renders this chart with the last one's values, which have none of those that came since.
func TestValuesOfTheLastReleaseAreEnough(t *testing.T) {
	for name, args := range valueSets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const since = "identityKey=null,allowLossyPolicies=null,externalRabbitmq.managementUrl=null"
			objects := parse(t, mustTemplate(t, append([]string{"--set", since}, args...)...))
			for _, o := range objects {
				if bytes.Contains(o.raw, []byte("<no value>")) || bytes.Contains(o.raw, []byte("<nil>")) {
					t.Errorf("%s has a value that is none:\n%s", o.id(), o.raw)
				}
			}
		})
	}
}
