package values

import (
	"strconv"
	"strings"
)

// Ports is a list of ports with commas between.
type Ports string

// UnmarshalText keeps a list of ports from 1 to 65535.
func (p *Ports) UnmarshalText(text []byte) error {
	if _, err := parsePorts(string(text)); err != nil {
		return errSyntax
	}
	*p = Ports(text)
	return nil
}

// List returns them as numbers.
func (p Ports) List() []uint16 {
	list, _ := parsePorts(string(p)) // checked by Load
	return list
}

func parsePorts(text string) (list []uint16, err error) {
	for part := range strings.SplitSeq(text, ",") {
		port, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16)
		if err != nil || port == 0 {
			return nil, errSyntax
		}
		list = append(list, uint16(port))
	}
	return list, nil
}
