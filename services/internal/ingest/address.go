package ingest

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// clientAddress is the address that a request came from. What X-Forwarded-For says
// is taken from a trusted proxy alone, and of it the last address that is none of
// them: all before that is the client's own word. Without a proxy in trusted the
// header does nothing, so nobody can pretend to be another.
func clientAddress(r *http.Request, trusted []netip.Prefix) string {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := plain(remote.Addr())
	// A proxy that finds the header adds to its value, or adds another line.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !anyContains(trusted, address) {
			break
		}
		before, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		address = before
	}
	return linger.Client(address)
}

// parseHop reads an address, which some proxies write with the port.
func parseHop(hop string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return plain(address), nil
	}
	withPort, err := netip.ParseAddrPort(hop)
	return plain(withPort.Addr()), err
}

// plain is an IPv4 address without the frame of IPv6, and neither with a zone.
func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

func anyContains(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}
