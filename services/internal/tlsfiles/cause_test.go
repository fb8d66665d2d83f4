package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/trailpost/trailpost/test/authority"
)

// Each cause by a handshake over a real connection.
func TestCauseOf(t *testing.T) {
	ours, other := authority.New(t, "ours"), authority.New(t, "other")
	server := func(pair authority.Pair) *tls.Config {
		t.Helper()
		c, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
	}
	wantsClients := server(ours.Server(t, "here"))
	wantsClients.ClientAuth, wantsClients.ClientCAs = tls.RequireAndVerifyClientCert, ours.Pool()
	client := func() *tls.Config {
		return &tls.Config{RootCAs: ours.Pool(), ServerName: "here", MinVersion: tls.VersionTLS12}
	}
	unverified := client()
	unverified.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errors.New("not today") }
	for name, c := range map[string]struct {
		server *tls.Config // nil: it speaks no TLS
		client *tls.Config
		want   Cause
	}{
		"all is well":          {server(ours.Server(t, "here")), client(), Unknown},
		"another authority":    {server(other.Server(t, "here")), client(), UntrustedAuthority},
		"another name":         {server(ours.Server(t, "elsewhere")), client(), WrongName},
		"expired":              {server(ours.Expired(t, "here")), client(), InvalidCertificate},
		"no TLS":               {nil, client(), NotTLS},
		"no client":            {wantsClients, client(), Refused},
		"a reason of our own":  {server(ours.Server(t, "here")), unverified, Unknown},
		"a client's for hosts": {server(ours.Client(t, "here")), client(), InvalidCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			if err := handshake(t, c.server, c.client); CauseOf(fmt.Errorf("connect: %w", err)) != c.want {
				t.Errorf("cause %d of %v, want %d", CauseOf(err), err, c.want)
			}
		})
	}
	if got := CauseOf(&tls.CertificateVerificationError{Err: errors.New("a reason without a type")}); got != UnverifiedCertificate {
		t.Errorf("cause %d", got)
	}
}

// handshake returns why a client could not read a byte of a server.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if server == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn) // or a reset would overtake it
			return
		}
		secure := tls.Server(conn, server)
		_, _ = io.WriteString(secure, "x")
		_, _ = io.Copy(io.Discard, secure)
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadFull(conn, make([]byte, 1)) // TLS 1.3 refuses a client after the handshake
	return err
}
