package admission

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:1234", nil, "192.0.2.1"},
		{"192.0.2.1:1234", []string{"198.51.100.7"}, "192.0.2.1"}, // no proxy of ours
		{"10.1.2.3:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.1.2.3:1234", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"}, // before it is the client's word
		{"10.1.2.3:1234", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7"},
		{"10.1.2.3:1234", []string{"203.0.113.9, 198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		{"10.1.2.3:1234", []string{"198.51.100.7, junk"}, "10.1.2.3"},
		{"10.1.2.3:1234", []string{""}, "10.1.2.3"},
		{"10.1.2.3:1234", nil, "10.1.2.3"},
		{"10.1.2.3:1234", []string{"10.4.4.4"}, "10.4.4.4"},
		{"10.1.2.3:1234", []string{"198.51.100.7:5555"}, "198.51.100.7"},
		{"10.1.2.3:1234", []string{"[2001:db8:1:2::1]:5555"}, "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.1]:1234", nil, "192.0.2.1"},
		{"[::ffff:10.1.2.3]:1234", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"[2001:db8:1:2:3::4]:1234", nil, "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1234", nil, "fe80::/64"},
		{"[2001:db8:ffff::1]:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"", nil, ""},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := ClientAddress(r, trusted); got != c.want {
			t.Errorf("%s, X-Forwarded-For %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}
