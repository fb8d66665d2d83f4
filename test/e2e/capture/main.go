//go:build linux

// Command capture looks at every TCP segment that passes this machine's interfaces, until
// its standard input ends, for a text that must not be there, and says what it saw.
//
//	usage: capture TEXT PORT...      needs CAP_NET_RAW
//
// The end-to-end tests run it on the nodes, past which all packets of pods go. It prints
// "ready" and then, at the end, a line of JSON: for each port the segments with a payload,
// their bytes, and how many had the text in it. A text that is cut by two segments is not
// found: send it often.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Seen is what passed a port.
type Seen struct {
	Segments int `json:"segments"`
	Bytes    int `json:"bytes"`
	Found    int `json:"found"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: capture TEXT PORT, and more ports")
	}
	text, seen := []byte(args[0]), map[uint16]*Seen{}
	for _, arg := range args[1:] {
		port, err := strconv.ParseUint(arg, 10, 16)
		if err != nil {
			return err
		}
		seen[uint16(port)] = &Seen{}
	}
	// SOCK_DGRAM leaves the link's own header out.
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM, int(networkOrder(syscall.ETH_P_ALL)))
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() { _ = syscall.Close(socket) }()
	_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<20)
	timeout := syscall.NsecToTimeval((100 * time.Millisecond).Nanoseconds())
	if err := syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	fmt.Println("ready")
	packet := make([]byte, 1<<16)
	var end time.Time
	for end.IsZero() || time.Now().Before(end) {
		if end.IsZero() {
			select {
			case <-ended:
				end = time.Now().Add(time.Second) // for what is on its way
			default:
			}
		}
		n, _, err := syscall.Recvfrom(socket, packet, 0)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read a packet: %w", err)
		}
		look(packet[:n], text, seen)
	}
	return json.NewEncoder(os.Stdout).Encode(seen)
}

// look counts a packet, if it is a TCP segment of IPv4 or IPv6 from or to one of the ports.
func look(packet, text []byte, seen map[uint16]*Seen) {
	segment, ok := tcp(packet)
	if !ok || len(segment) < 20 {
		return
	}
	header := int(segment[12]>>4) * 4
	if header < 20 || header >= len(segment) {
		return // no payload
	}
	for _, port := range [...]uint16{binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])} {
		s := seen[port]
		if s == nil {
			continue
		}
		payload := segment[header:]
		s.Segments++
		s.Bytes += len(payload)
		if bytes.Contains(payload, text) {
			s.Found++
		}
		return
	}
}

// tcp returns what is in an IP packet, if that is TCP (RFC 791, 3.1; RFC 8200, 3).
func tcp(packet []byte) (segment []byte, ok bool) {
	const protocol = 6
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		header := int(packet[0]&15) * 4
		return packet[min(header, len(packet)):], packet[9] == protocol
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return packet[40:], packet[6] == protocol
	}
	return nil, false
}

func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
