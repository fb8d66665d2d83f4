package chart_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
)

// A subchart's schema holds only while the subchart is enabled, so the chart's own names its values, too.
func TestSchemaKnowsTheSubchartsValues(t *testing.T) {
	whole := properties(t, chart+"/values.schema.json")
	for _, name := range []string{"rabbitmq", "postgresql"} {
		var here struct {
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if err := json.Unmarshal(whole[name], &here); err != nil {
			t.Fatal(err)
		}
		got := slices.Sorted(maps.Keys(here.Properties))
		want := slices.Sorted(maps.Keys(properties(t, chart+"/charts/"+name+"/values.schema.json")))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the chart's schema knows\n%v, its own\n%v", name, got, want)
		}
	}
}

func properties(t *testing.T, file string) map[string]json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema.Properties
}
