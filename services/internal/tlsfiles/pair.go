package tlsfiles

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// Pair is a certificate and its key in files, which are read again when they change: certificates are
// renewed while a process runs. While new files can't be used (one of the two may be new already), the
// previous pair is. It is safe for concurrent use.
type Pair struct {
	certFile, keyFile string

	mu       sync.Mutex // guards all below
	pair     *tls.Certificate
	modified [2]time.Time
}

// NewPair reads nothing yet.
func NewPair(certFile, keyFile string) *Pair { return &Pair{certFile: certFile, keyFile: keyFile} }

// Get returns the pair. It fails only while no pair could ever be used.
func (p *Pair) Get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	modified := p.times()
	if p.pair != nil && p.modified == modified {
		return p.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	switch {
	case err == nil:
		p.pair, p.modified = &pair, modified
	case p.pair == nil:
		return nil, err
	}
	return p.pair, nil
}

// Server is for a server's tls.Config, as GetCertificate.
func (p *Pair) Server(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.Get() }

// Client is for a client's tls.Config, as GetClientCertificate. Not Certificates, of which crypto/tls
// sends none where the server names other authorities: the server's refusal says more than its silence.
func (p *Pair) Client(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.Get() }

// times returns when the files were changed last; zero for a file that is not there.
func (p *Pair) times() (t [2]time.Time) {
	for i, name := range []string{p.certFile, p.keyFile} {
		if info, err := os.Stat(name); err == nil {
			t[i] = info.ModTime()
		}
	}
	return t
}
