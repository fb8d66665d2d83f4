package config

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// warnOfUnknown tells which names are set that begin as a setting of ours does, or differ from one in a letter or two, and are none:
// a misspelt name would otherwise go unnoticed, and its setting have its default.
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

// prefixOf is a name's first word with its underscore, "" for one of one word.
func prefixOf(name string) string {
	first, _, found := strings.Cut(name, "_")
	if !found {
		return ""
	}
	return first + "_"
}

// shared are prefixes of settings that others read, too: what is unknown to us may be theirs.
var shared = map[string]bool{"OTEL_": true, "LOG_": true, "EVENT_": true, "ALLOW_": true, "ADMIN_": true, "IDENTITY_": true}

// isOthers reports whether a name that begins as ours do is somebody else's.
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

// Kubernetes sets these in every pod for each Service, unless the pod has enableServiceLinks: false. A Service called
// rabbitmq-headless has RABBITMQ_HEADLESS_SERVICE_HOST, RABBITMQ_HEADLESS_PORT=tcp://10.0.0.1:5672 and so on.
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
