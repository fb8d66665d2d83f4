package linger

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Conn is a connection that lingers when it is closed, if there is something to linger for.
// It has what net/http looks for in a TCP connection: CloseWrite and ReadFrom.
type Conn struct {
	*net.TCPConn
	listener *Listener

	mu         sync.Mutex // guards below
	left       string     // the client's address, if the current request will not be read to its end
	discarding bool       // the listener discards what comes, and closes the connection
}

// Leave says that the current request is answered, or about to be, without having been read to its
// end: more may come after that. It counts for client.
func (c *Conn) Leave(client string) { c.setLeft(client) }

// Keep says that the current request has been read to its end after all.
func (c *Conn) Keep() { c.setLeft("") }

func (c *Conn) setLeft(client string) {
	c.mu.Lock()
	c.left = client
	c.mu.Unlock()
}

// CloseWrite ends what the client reads. net/http calls it when it closes a connection on which a
// request's body was not read to its end.
func (c *Conn) CloseWrite() error {
	err := c.TCPConn.CloseWrite()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linger()
	return err
}

// Close closes the connection, now or when the client has closed it.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.discarding {
		return nil
	}
	if c.left != "" || c.unread() {
		if c.linger() {
			return nil
		}
		c.listener.count(Refused)
	}
	return c.TCPConn.Close()
}

// linger hands the connection to the listener, and reports whether that takes it. c.mu is held.
func (c *Conn) linger() bool {
	if !c.discarding {
		client := c.left
		if client == "" {
			client = clientOf(c.RemoteAddr())
		}
		c.discarding = c.listener.take(c, client)
	}
	return c.discarding
}

// unread reports whether something has come that nobody has read, so that closing would reset the
// connection. That is so where net/http answers a request that it can't parse.
func (c *Conn) unread() bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	// Control, since Read would wait for a Read that is under way. The socket doesn't block.
	err = raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
	})
	return err == nil && n > 0
}

// Client returns the name by which an address counts: an IPv6 address counts by its /64, the least
// that a network gives to a customer (RFC 6177), which has more addresses than anyone can count.
func Client(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		network, _ := address.Prefix(64) // 64 is never too long
		return network.String()
	}
	return address.String()
}

func clientOf(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok {
		return Client(tcp.AddrPort().Addr())
	}
	return address.String()
}
