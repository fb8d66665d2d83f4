package transport

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// Certificate is a key pair in files, which is read again when they change: certificates are
// renewed while servers run.
type Certificate struct {
	certFile, keyFile string

	mu       sync.Mutex // guards all below
	pair     *tls.Certificate
	modified [2]time.Time
	checked  time.Time
}

// checkInterval is how often handshakes look at the files.
const checkInterval = 10 * time.Second

// LoadCertificate loads the pair, so that a bad one stops the start.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is for a tls.Config's GetCertificate. While new files can't be used (one of the two may be
// new already), the previous pair is.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= checkInterval {
		c.checked = now
		if c.modified != c.times() {
			_ = c.load()
		}
	}
	return c.pair, nil
}

func (c *Certificate) load() error {
	modified := c.times()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair, c.modified = &pair, modified
	return nil
}

// times returns when the files were changed last; zero for a file that is not there.
func (c *Certificate) times() (t [2]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			t[i] = info.ModTime()
		}
	}
	return t
}
