package linger

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The limits of all servers are in README.
func TestDefaults(t *testing.T) {
	if want := (Limits{Bytes: 32 << 20, Time: 5 * time.Second, Connections: 64, PerClient: 2, Rate: 64 << 20}); Defaults != want {
		t.Errorf("%+v, want %+v", Defaults, want)
	}
}

// server answers each connection "no" without reading, and closes it.
type server struct {
	*Listener
	mu       sync.Mutex
	outcomes map[Outcome]int
}

func serve(t *testing.T, limits Limits) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{outcomes: make(map[Outcome]int)}
	s.Listener = Listen(listener, limits, func(o Outcome) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.outcomes[o]++
	})
	t.Cleanup(func() {
		s.Close()
		s.End(context.Background(), 0)
	})
	go func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			conn.(*Conn).Leave(Client(conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()))
			_, _ = io.WriteString(conn, "no")
			_ = conn.Close()
		}
	}()
	return s
}

// counted waits until connections ended in these ways.
func (s *server) counted(t *testing.T, o Outcome, want int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s.mu.Lock()
		n := s.outcomes[o]
		s.mu.Unlock()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections were %s, want %d", n, o, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// dial dials from an address of this machine.
func (s *server) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAllThatIsSentIsRead(t *testing.T) {
	s := serve(t, Limits{Bytes: 32 << 20, Time: time.Minute, Connections: 1, PerClient: 1, Rate: 1 << 40})
	conn := s.dial(t, "127.0.0.1")
	if n, err := io.WriteString(conn, strings.Repeat("x", 12<<20)); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	if answer, err := io.ReadAll(conn); string(answer) != "no" || err != nil {
		t.Errorf("answer %q, %v", answer, err)
	}
	conn.Close()
	s.counted(t, Read, 1)
}

func TestLimits(t *testing.T) {
	s := serve(t, Limits{Bytes: 1 << 20, Time: time.Minute, Connections: 5, PerClient: 2, Rate: 1 << 40})
	// Three of one client, four others.
	var open []net.Conn
	for _, from := range []string{"127.0.2.1", "127.0.2.1", "127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4", "127.0.2.5"} {
		conn := s.dial(t, from)
		if answer, err := io.ReadAll(conn); string(answer) != "no" || err != nil {
			t.Errorf("answer %q, %v", answer, err)
		}
		open = append(open, conn)
	}
	s.counted(t, Refused, 2) // the client's third, and the sixth of all
	if n := s.Lingering(); n != 5 {
		t.Errorf("%d linger", n)
	}
	// Those who go make room.
	open[0].Close()
	s.counted(t, Read, 1)
	_, _ = io.ReadAll(s.dial(t, "127.0.2.1"))
	s.counted(t, Refused, 2)
	if n := s.Lingering(); n != 5 {
		t.Errorf("%d linger", n)
	}
	// Whoever sends more than the limit is cut off.
	if _, err := io.WriteString(open[1], strings.Repeat("x", 16<<20)); err == nil {
		t.Error("16 MiB were read")
	}
	s.counted(t, Cut, 1)
	// The end is everybody's.
	s.End(t.Context(), 10*time.Millisecond)
	if n := s.Lingering(); n != 0 {
		t.Errorf("%d linger after the end", n)
	}
	s.counted(t, Cut, 5)
	_, _ = io.ReadAll(s.dial(t, "127.0.2.9"))
	s.counted(t, Refused, 3)
}

// Who sends much waits for others who do.
func TestRate(t *testing.T) {
	s := serve(t, Limits{Bytes: 32 << 20, Time: time.Minute, Connections: 2, PerClient: 2, Rate: 4 << 20})
	began := time.Now()
	for range 2 {
		conn := s.dial(t, "127.0.0.1")
		go func() {
			_, _ = conn.Write(make([]byte, 4<<20))
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
	}
	s.counted(t, Read, 2)
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("8 MiB at 4 MiB/s took %s", took)
	}
	// The end does not wait for them.
	conn := s.dial(t, "127.0.0.1")
	go func() { _, _ = conn.Write(make([]byte, 16<<20)) }()
	for s.Lingering() == 0 {
		time.Sleep(time.Millisecond)
	}
	began = time.Now()
	s.End(t.Context(), 10*time.Millisecond)
	s.counted(t, Cut, 1)
	if took := time.Since(began); took > time.Second {
		t.Errorf("the end took %s", took)
	}
}

func TestTime(t *testing.T) {
	s := serve(t, Limits{Bytes: 1 << 40, Time: 500 * time.Millisecond, Connections: 1, PerClient: 1, Rate: 1 << 40})
	conn := s.dial(t, "127.0.0.1")
	began := time.Now()
	for {
		if _, err := io.WriteString(conn, "x"); err != nil {
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("ended after %s", took)
	}
	s.counted(t, Cut, 1)
}

// What has been read to its end is closed at once.
func TestNothingLeft(t *testing.T) {
	s := serve(t, Limits{Bytes: 1 << 20, Time: time.Minute, Connections: 1, PerClient: 1, Rate: 1 << 40})
	ours, theirs := s.pair(t)
	theirs.Leave("someone")
	theirs.Keep()
	if err := theirs.Close(); err != nil {
		t.Error(err)
	}
	if n := s.Lingering(); n != 0 {
		t.Errorf("%d linger", n)
	}
	if err := theirs.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	_ = ours.Close()

	// Bytes that nobody read would reset the connection.
	ours, theirs = s.pair(t)
	if _, err := io.WriteString(ours, "x"); err != nil {
		t.Fatal(err)
	}
	for !theirs.unread() {
		time.Sleep(time.Millisecond)
	}
	if err := theirs.Close(); err != nil {
		t.Error(err)
	}
	if n := s.Lingering(); n != 1 {
		t.Errorf("%d linger", n)
	}
	_ = ours.Close()
	s.counted(t, Read, 1)
}

// pair is a connection that the server does not serve.
func (s *server) pair(t *testing.T) (ours net.Conn, theirs *Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ours, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return ours, &Conn{TCPConn: conn.(*net.TCPConn), listener: s.Listener}
}

func TestClient(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Client(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
