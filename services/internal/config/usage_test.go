package config

import (
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

func TestUsage(t *testing.T) {
	for name, binary := range map[string]Binary{
		"usage_producer.txt": ForProducer,
		"usage_consumer.txt": ForConsumer,
		"usage_migrate.txt":  ForMigrate | ForRoles,
	} {
		var out strings.Builder
		if err := Usage(&out, binary); err != nil {
			t.Fatal(err)
		}
		golden.File(t, name, out.String())
	}
}

func TestEveryVariableIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Variables(ForProducer | ForConsumer | ForMigrate | ForRoles) {
		if seen[v.Name] {
			t.Errorf("%s is there twice", v.Name)
		}
		seen[v.Name] = true
		if !strings.HasSuffix(v.Help, ".") {
			t.Errorf("%s: help %q is not a sentence", v.Name, v.Help)
		}
	}
	if total := len(fields(new(Config))); len(seen) != total {
		t.Errorf("%d of %d variables are used by a binary", len(seen), total)
	}
}
