package devservers

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below the range that kernels give to outgoing connections
// (from 32768 on Linux, 49152 on macOS) and below Kubernetes' node ports. A port
// of that range would be lost while its server is down: to some other client, or
// to a client of ours that dials it again and again until it is connected to
// itself.
const lowPort, highPort = 20000, 30000

var handedOut = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePort returns a port of 127.0.0.1 that nobody listens on and that this
// process has not been given before.
func FreePort() (int, error) {
	handedOut.Lock()
	defer handedOut.Unlock()
	for range 1000 {
		p := lowPort + rand.IntN(highPort-lowPort)
		if !handedOut.ports[p] && PortFree(p) {
			handedOut.ports[p] = true
			return p, nil
		}
	}
	return 0, errors.New("no free port on 127.0.0.1 between " + strconv.Itoa(lowPort) + " and " + strconv.Itoa(highPort))
}

// keepPort sees to it that *p is a free port: the one it holds already, if it can.
func keepPort(p *int) error {
	if *p != 0 && PortFree(*p) {
		return nil
	}
	var err error
	*p, err = FreePort()
	return err
}

// PortFree reports whether a server could listen on the port on every address.
func PortFree(p int) bool {
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		l, err := net.Listen("tcp4", net.JoinHostPort(host, strconv.Itoa(p)))
		if err != nil {
			return false
		}
		_ = l.Close() // it never accepted anything
	}
	return true
}
