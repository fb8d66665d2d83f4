package devservers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/trailpost/trailpost/services/internal/devservers/process"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// TLS has both servers of a pair speak TLS and nothing else. All fields are PEM.
type TLS struct {
	Certificate, Key []byte // the servers'
	ClientCA         []byte // signs the clients' certificates

	// RequireClient refuses clients without a certificate. ClientCertificate and ClientKey are the
	// one with which the pair itself looks after its servers.
	RequireClient                bool
	ClientCertificate, ClientKey []byte
}

// The names of the files in a server's folder, and in /etc/trailpost-tls of a container.
const (
	tlsCertificate = "server.crt"
	tlsKey         = "server.key"
	tlsAuthority   = "clients.crt"
	hbaFile        = "pg_hba.conf"
	containerTLS   = "/etc/trailpost-tls"
)

// files are what a server reads.
func (t *TLS) files() map[string][]byte {
	return map[string][]byte{tlsCertificate: t.Certificate, tlsKey: t.Key, tlsAuthority: t.ClientCA}
}

// postgresHBA lets nobody in over the network without TLS. (The image sets its database up over the
// socket.)
func (t *TLS) postgresHBA() []byte {
	certificate := ""
	if t.RequireClient {
		certificate = " clientcert=verify-ca"
	}
	return fmt.Appendf(nil, "local %[1]s %[1]s scram-sha-256\nhostssl %[1]s %[1]s %[1]s scram-sha-256%[2]s\n", "all", certificate)
}

// postgresArgs is what the command line has for it; dir is where the files are.
func (t *TLS) postgresArgs(dir string) []string {
	return []string{
		"-c", "ssl=on",
		"-c", "ssl_cert_file=" + filepath.Join(dir, tlsCertificate),
		"-c", "ssl_key_file=" + filepath.Join(dir, tlsKey),
		"-c", "ssl_ca_file=" + filepath.Join(dir, tlsAuthority),
		"-c", "hba_file=" + filepath.Join(dir, hbaFile),
	}
}

// rabbitConf is what rabbitmq.conf has instead of a plain listener.
func (t *TLS) rabbitConf(dir, listen string, port int) string {
	return fmt.Sprintf(`listeners.tcp = none
listeners.ssl.default = %s:%d
ssl_options.certfile = %s
ssl_options.keyfile = %s
ssl_options.cacertfile = %s
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = %t
`, listen, port, filepath.Join(dir, tlsCertificate), filepath.Join(dir, tlsKey), filepath.Join(dir, tlsAuthority), t.RequireClient)
}

// managementConf is what rabbitmq.conf has for the management API. It asks for no client
// certificates: a browser has none.
func (t *TLS) managementConf(dir, listen string, port int) string {
	return fmt.Sprintf(`management.ssl.ip = %s
management.ssl.port = %d
management.ssl.certfile = %s
management.ssl.keyfile = %s
`, listen, port, filepath.Join(dir, tlsCertificate), filepath.Join(dir, tlsKey))
}

// writeTLS puts files into a server's folder, for its account's eyes alone.
func writeTLS(dir string, acct *process.Account, files map[string][]byte) error {
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := statedir.WriteFile(name, content, 0o600); err != nil {
			return err
		}
		if err := acct.Own(name); err != nil {
			return err
		}
	}
	return nil
}

// inContainer is where files are in a container.
func inContainer(files map[string][]byte) map[string]string {
	there := make(map[string]string, len(files))
	for name, content := range files {
		there[filepath.Join(containerTLS, name)] = string(content)
	}
	return there
}

// ownConfig is how the pair itself reaches its servers. It takes any certificate, since a test may
// have them bear bad ones.
func (t *TLS) ownConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // on the loopback, in tests
	if t.ClientCertificate != nil {
		pair, err := tls.X509KeyPair(t.ClientCertificate, t.ClientKey)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// writeSecrets writes secret files where a running server finds them.
type writeSecrets func(ctx context.Context, files map[string][]byte) error

// Recertify gives both servers another certificate, as a renewal does: it is that of the
// connections to come, and those that are open stay.
func (p *Pair) Recertify(ctx context.Context, certificate, key []byte) error {
	if p.state.TLS == nil {
		return errors.New("these servers speak no TLS")
	}
	p.state.TLS.Certificate, p.state.TLS.Key = certificate, key
	files := map[string][]byte{tlsCertificate: certificate, tlsKey: key}
	if err := errors.Join(p.Postgres.writeSecrets(ctx, files), p.Rabbit.writeSecrets(ctx, files)); err != nil {
		return err
	}
	if err := p.Postgres.Exec(ctx, "postgres", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	// Erlang would notice by itself, within two minutes.
	return p.Rabbit.Eval(ctx, "ssl:clear_pem_cache()")
}
