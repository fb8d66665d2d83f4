package admission

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// ClientAddress returns the address that a request came from. X-Forwarded-For is believed from a
// trusted proxy alone, and of it the last address that is not a trusted proxy's: what stands before
// that is the client's own claim. Without trusted proxies the header does nothing, so that nobody
// can pretend to be another.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string {
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

// plain returns an address without a zone, and one of IPv4 without its IPv6 form.
func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

func anyContains(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}
