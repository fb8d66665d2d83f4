package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origins is a list of origins (RFC 6454: scheme, host and port, if it is not the scheme's) with commas between, or *.
type Origins string

// List returns them one by one.
func (o Origins) List() (list []string) {
	for origin := range strings.SplitSeq(string(o), ",") {
		if origin = strings.TrimSpace(origin); origin != "" {
			list = append(list, origin)
		}
	}
	return list
}

const wantOrigins = "origins such as https://app.example.org, without a path, with commas between, or *"

// checkOrigins refuses an origin that no browser sends, since nothing would ever match it, and says what browsers send.
func (l *loader) checkOrigins(origins Origins) {
	const name = "PRODUCER_CORS_ORIGINS"
	if l.isSet(name) && !l.blamed(name) {
		if problem := originsProblem(origins.List()); problem != "" {
			l.blame(name, "must be "+problem)
		}
	}
}

// originsProblem fits after "must be".
func originsProblem(origins []string) string {
	if len(origins) == 0 {
		return wantOrigins
	}
	for _, origin := range origins {
		sent, problem := asSent(origin)
		switch {
		case origin == "*", strings.EqualFold(origin, sent): // letters are compared without regard to their case
		case origin == "null": // of sandboxed frames, files and redirects: the world's
			return wantOrigins + "; null is any page's"
		case problem != "":
			return wantOrigins + "; " + quote(origin) + " " + problem
		default:
			return "origins as browsers send them: " + sent + " in place of " + quote(origin)
		}
	}
	return ""
}

// defaultPorts are what browsers leave out.
var defaultPorts = map[string]uint64{"http": 80, "https": 443}

// asSent is an origin as browsers write it (the URL standard's serialization), or why there is none.
func asSent(origin string) (sent, problem string) {
	if !strings.Contains(origin, "://") {
		origin = "https://" + origin
	}
	u, err := url.Parse(origin)
	switch {
	case err != nil || defaultPorts[u.Scheme] == 0:
		return "", "is malformed"
	case strings.Contains(u.Host, "*"):
		return "", "is a pattern: name each origin"
	}
	host, problem := hostAsSent(u.Hostname())
	if problem != "" {
		return "", problem
	}
	sent = u.Scheme + "://" + host
	if u.Port() == "" {
		return sent, ""
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err != nil || port == 0:
		return "", "has no port from 1 to 65535"
	case port != defaultPorts[u.Scheme]:
		sent += ":" + strconv.FormatUint(port, 10)
	}
	return sent, ""
}

func hostAsSent(host string) (sent, problem string) {
	last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Is4():
		return addr.String(), ""
	case err == nil && addr.Is4In6(): // Go writes these with dots, browsers do not
		return "[" + host + "]", ""
	case err == nil && addr.Zone() == "":
		return "[" + addr.String() + "]", ""
	case host == "":
		return "", "names no host"
	case strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }):
		return "", "must have its host in ASCII, as browsers send it (xn--…)"
	case strings.ContainsAny(host, " %:^|<>\"`{}\\"):
		return "", "names no host"
	case strings.Trim(last, ".0123456789") == "":
		return "", "names no host, nor an address"
	}
	return strings.ToLower(host), ""
}
