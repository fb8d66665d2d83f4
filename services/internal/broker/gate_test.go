package broker

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

func frame(kind byte, payload []byte) []byte {
	f := []byte{kind, 0, 1}
	f = binary.BigEndian.AppendUint32(f, uint32(len(payload)))
	f = append(f, payload...)
	return append(f, 0xce)
}

// readerConn is a connection of which only reading matters.
type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func TestTheGateCountsBodiesAlone(t *testing.T) {
	stream := bytes.Join([][]byte{
		frame(1, make([]byte, 300)), // method
		frame(2, make([]byte, 50)),  // header
		frame(frameBody, make([]byte, 1000)),
		frame(frameBody, make([]byte, 1)),
		frame(8, nil), // heartbeat
		frame(frameBody, nil),
		frame(frameBody, make([]byte, 70_000)),
	}, nil)
	for name, reader := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"by halves":    iotest.HalfReader(bytes.NewReader(stream)),
	} {
		g := newGate(readerConn{Reader: reader}, 1<<30)
		if n, err := io.Copy(io.Discard, g); err != nil || n != int64(len(stream)) {
			t.Fatalf("%s: %d bytes, %v", name, n, err)
		}
		if want := 1000 + 1 + 70_000; g.level != want {
			t.Errorf("%s: counted %d bytes, want %d", name, g.level, want)
		}
	}
}
