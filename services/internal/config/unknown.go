package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// serviceLink matches the variables that Kubernetes sets in every pod for each Service, unless the pod has
// enableServiceLinks: false. A Service called rabbitmq-headless has RABBITMQ_HEADLESS_SERVICE_HOST.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// strangers are prefixes of settings that others read, too: what is unknown to us may be theirs.
var strangers = map[string]bool{"OTEL_": true, "LOG_": true, "EVENT_": true, "ALLOW_": true, "ADMIN_": true, "IDENTITY_": true}

// warnOfUnknown tells which names are set that begin as a setting of ours does, and are none: a misspelt name would
// otherwise go unnoticed, and its setting have its default.
func (l *loader) warnOfUnknown() {
	known, prefixes := map[string]bool{}, map[string]bool{}
	for _, f := range l.fields {
		known[f.name] = true
		if f.isSecret() {
			known[f.name+fileSuffix] = true
		}
		if first, _, found := strings.Cut(f.name, "_"); found && !strangers[first+"_"] {
			prefixes[first+"_"] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		first, _, _ := strings.Cut(name, "_")
		if prefixes[first+"_"] && !known[name] && !serviceLink.MatchString(name) {
			l.warnSecret(name, "is set, and there is no such setting: is it misspelt?")
		}
	}
}
