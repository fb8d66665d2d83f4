package config

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// warnOfUnknown warns of names that are set and are not settings, but begin as a setting does, or
// differ from one in a letter or two: a misspelt name would otherwise go unnoticed, and its setting
// keep its default.
func (l *loader) warnOfUnknown() {
	known, prefixes := map[string]bool{}, map[string]bool{}
	for _, f := range l.fields {
		known[f.name] = true
		if f.isSecret() {
			known[f.name+fileSuffix] = true
		}
		if prefix := prefixOf(f.name); prefix != "" && !shared[prefix] {
			prefixes[prefix] = true
		}
	}
	names := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if known[name] || l.isOthers(name) {
			continue
		}
		meant := nearest(name, names)
		switch {
		case meant != "":
			l.warnSecret(name, "is set, and there is no such setting: is "+meant+" meant?")
		case prefixes[prefixOf(name)]:
			l.warnSecret(name, "is set, and there is no such setting: is it misspelt?")
		}
	}
}

// prefixOf returns the first word of a name with its underscore, "" for a name of one word.
func prefixOf(name string) string {
	first, _, found := strings.Cut(name, "_")
	if !found {
		return ""
	}
	return first + "_"
}

// shared are prefixes of settings that other programs read, too: a name that we don't know may be
// theirs.
var shared = map[string]bool{"OTEL_": true, "LOG_": true, "EVENT_": true, "ALLOW_": true, "ADMIN_": true, "IDENTITY_": true}

// isOthers reports whether a name that begins as ours do belongs to another program.
func (l *loader) isOthers(name string) bool {
	switch name {
	case "PRODUCER_URL", "CONSUMER_URL": // what make run tells clients
		return true
	case "DATABASE_URL": // psql's, from make run; alone it is taken for a setting of ours
		return l.isSet("DATABASE_HOST")
	}
	return rabbitMQsOwn.MatchString(name) || isServiceLink(name, l.env[name])
}

// rabbitMQsOwn are the variables of RabbitMQ's server, tools (rabbitmq-env.conf(5)) and image.
var rabbitMQsOwn = regexp.MustCompile(`^RABBITMQ_(NODENAME|NODE_PORT|NODE_IP_ADDRESS|DIST_PORT|USE_LONGNAME|` +
	`CONF_ENV_FILE|CONFIG_FILES?|ADVANCED_CONFIG_FILE|ENABLED_PLUGINS(_FILE)?|PLUGINS_(DIR|EXPAND_DIR)|SCHEMA_DIR|GENERATED_CONFIG_DIR|` +
	`BASE|HOME|DATA_DIR|MNESIA_(BASE|DIR)|LOG|LOG_BASE|LOGS|PID_FILE|QUORUM_DIR|STREAM_DIR|FEATURE_FLAGS(_FILE)?|` +
	`(SERVER|CTL|SERVER_ADDITIONAL|SERVER_START)_(ERL_)?ARGS|IO_THREAD_POOL_SIZE|MAX_(NUMBER_OF_|OPEN_)\w+|ALLOW_INPUT|KEEP_PID_FILE_ON_EXIT|` +
	`ERLANG_COOKIE|DEFAULT_(USER|PASS|VHOST)(_FILE)?|VERSION|PGP_KEY_ID)$`)

// Kubernetes sets these in every pod for each Service, unless the pod has enableServiceLinks:
// false. A Service called rabbitmq-headless has RABBITMQ_HEADLESS_SERVICE_HOST,
// RABBITMQ_HEADLESS_PORT=tcp://10.0.0.1:5672 and so on.
var (
	linkedPort = regexp.MustCompile(`_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)
	portURL    = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

func isServiceLink(name, value string) bool {
	switch {
	case strings.HasSuffix(name, "_SERVICE_HOST"):
		_, err := netip.ParseAddr(value)
		return err == nil
	case linkedPort.MatchString(name):
		return true
	}
	return strings.HasSuffix(name, "_PORT") && portURL.MatchString(value)
}

// nearest returns the one of names that somebody may have meant: it differs in an eighth of its
// letters at most, so that the names of other programs don't match. It returns "" if there is none.
func nearest(name string, names []string) string {
	best, least := "", 0
	for _, other := range names {
		most := len(other) / 8
		if d := len(name) - len(other); d > most || -d > most {
			continue
		}
		if d := distance(name, other); d <= most && (best == "" || d < least) {
			best, least = other, d
		}
	}
	return best
}

// distance is the number of letters that were left out, added, replaced or exchanged with their
// neighbour (the optimal string alignment), in bytes: names are ASCII.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			differs := 1
			if a[i-1] == b[j-1] {
				differs = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+differs)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
