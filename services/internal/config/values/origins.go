package values

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origins is a list of origins with commas between, or *. An origin (RFC 6454) is a scheme, a host,
// and a port if it is not the default port of the scheme.
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

// WantOrigins says what origins are, in words that fit after "must be".
const WantOrigins = "origins such as https://app.example.org, without a path, with commas between, or *"

// Problem says what is wrong with them, in words that fit after "must be"; "" if nothing is. An
// origin that no browser sends is wrong, since it would never match, and the words say what
// browsers send.
func (o Origins) Problem() string {
	origins := o.List()
	if len(origins) == 0 {
		return WantOrigins
	}
	for _, origin := range origins {
		sent, problem := asSent(origin)
		switch {
		case origin == "*", strings.EqualFold(origin, sent): // letters are compared without regard to their case
		case origin == "null": // of sandboxed frames, files and redirects: the world's
			return WantOrigins + "; null is any page's"
		case problem != "":
			return WantOrigins + "; " + Quote(origin) + " " + problem
		default:
			return "origins as browsers send them: " + sent + " in place of " + Quote(origin)
		}
	}
	return ""
}

// defaultPorts are the ports that browsers leave out.
var defaultPorts = map[string]uint64{"http": 80, "https": 443}

// asSent returns an origin as browsers write it (the serialization of the URL standard), or what is
// wrong with it.
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
