package values

import (
	"net/netip"
	"strings"
)

// Networks is a list of addresses and networks (10.0.0.0/8) with commas between.
type Networks string

// UnmarshalText keeps a list that can be read.
func (n *Networks) UnmarshalText(text []byte) error {
	if _, err := parseNetworks(string(text)); err != nil {
		return errSyntax
	}
	*n = Networks(text)
	return nil
}

// Prefixes returns them as networks.
func (n Networks) Prefixes() []netip.Prefix {
	if n == "" {
		return nil
	}
	list, _ := parseNetworks(string(n)) // checked by Load
	return list
}

func parseNetworks(text string) (list []netip.Prefix, err error) {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if address, err := netip.ParseAddr(part); err == nil {
			address = address.Unmap().WithZone("")
			list = append(list, netip.PrefixFrom(address, address.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, err
		}
		list = append(list, network.Masked())
	}
	return list, nil
}
