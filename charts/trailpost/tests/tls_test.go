package chart_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var (
	withCertManager = []string{"-f", chart + "/values-tls.yaml"}
	withSecrets     = []string{"--set", "global.tls.enabled=true,producer.tls.existingSecret=p,rabbitmq.tls.existingSecret=r,postgresql.tls.existingSecret=d"}
	// and all that asks PostgreSQL for something
	everyClient = []string{"--set", "postgresql.backup.enabled=true,partitions.ensure.enabled=true,partitions.retention.enabled=true"}
)

// certificate is what the tests ask of cert-manager's object.
type certificate struct {
	object
	Spec struct {
		SecretName string   `json:"secretName"`
		DNSNames   []string `json:"dnsNames"`
		Usages     []string `json:"usages"`
		IssuerRef  struct {
			Name string `json:"name"`
			Kind string `json:"kind"`
		} `json:"issuerRef"`
		Duration    string         `json:"duration"`
		RenewBefore string         `json:"renewBefore"`
		PrivateKey  map[string]any `json:"privateKey"`
	} `json:"spec"`
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
}

// environment is a container's, that of its ConfigMaps included.
func environment(t *testing.T, objects []object, c corev1.Container) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, from := range c.EnvFrom {
		maps.Copy(all, as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/"+from.ConfigMapRef.Name)).Data)
	}
	for _, v := range c.Env {
		all[v.Name] = v.Value
	}
	return all
}

// secretOfFile is the Secret that a mounted file comes from, and its key.
func secretOfFile(t *testing.T, p pod, c corev1.Container, file string) (secret, key string) {
	t.Helper()
	for _, m := range c.VolumeMounts {
		path, found := strings.CutPrefix(file, m.MountPath+"/")
		if !found {
			continue
		}
		i := slices.IndexFunc(p.spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			t.Fatalf("%s has no volume %s", p.of, m.Name)
		}
		v := p.spec.Volumes[i]
		if v.Secret != nil && len(v.Secret.Items) == 0 {
			return v.Secret.SecretName, path
		}
		type source struct {
			name  string
			items []corev1.KeyToPath
		}
		var sources []source
		if v.Secret != nil {
			sources = append(sources, source{v.Secret.SecretName, v.Secret.Items})
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				sources = append(sources, source{s.Secret.Name, s.Secret.Items})
			}
		}
		for _, s := range sources {
			for _, item := range s.items {
				if item.Path == path {
					return s.name, item.Key
				}
			}
		}
	}
	t.Errorf("%s, container %s: nothing is mounted at %s", p.of, c.Name, file)
	return "", ""
}

// Whoever speaks with a server verifies it, by the authority in the Secret that the server has its certificate from, and
// by a name that is in the certificate.
func TestTLSIsOnEveryHop(t *testing.T) {
	for name, way := range map[string]struct {
		args                           []string
		producer, rabbitmq, postgresql string // the Secrets
	}{
		"cert-manager":  {withCertManager, "trailpost-producer-tls", "trailpost-rabbitmq-tls", "trailpost-postgresql-tls"},
		"given Secrets": {withSecrets, "p", "r", "d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := parse(t, mustTemplate(t, append(slices.Clone(everyClient), way.args...)...))
			names := map[string][]string{} // by Secret
			for _, o := range objects {
				if o.Kind == "Certificate" {
					c := as[certificate](t, o)
					names[c.Spec.SecretName] = c.Spec.DNSNames
				}
			}
			if want := map[bool]int{true: 3, false: 0}[name == "cert-manager"]; len(names) != want {
				t.Errorf("certificates for %v", names)
			}
			verified := func(p pod, c corev1.Container, file, secret, host string) {
				t.Helper()
				if from, key := secretOfFile(t, p, c, file); from != secret || key != "ca.crt" {
					t.Errorf("%s, container %s: %s is %s of Secret %s, want ca.crt of %s", p.of, c.Name, file, key, from, secret)
				}
				if n, made := names[secret]; made && !slices.Contains(n, host) {
					t.Errorf("%s calls %s, which is not in the certificate: %v", p.of, host, n)
				}
			}
			asked := map[string]int{}
			for _, p := range pods(t, objects) {
				for _, c := range p.containers() {
					env := environment(t, objects, c)
					if host, ok := env["RABBITMQ_HOST"]; ok {
						asked["RabbitMQ"]++
						if env["RABBITMQ_TLS"] != "true" || env["RABBITMQ_PORT"] != "5671" {
							t.Errorf("%s speaks AMQP in the clear: %v", p.of, env)
						}
						verified(p, c, env["RABBITMQ_CACERTFILE"], way.rabbitmq, host)
						if want := "https://" + host + ":15671"; env["RABBITMQ_MANAGEMENT_URL"] != want {
							t.Errorf("%s asks %s for policies, want %s", p.of, env["RABBITMQ_MANAGEMENT_URL"], want)
						}
					}
					if host, ok := env["DATABASE_HOST"]; ok {
						asked["PostgreSQL"]++
						if env["DATABASE_SSLMODE"] != "verify-full" {
							t.Errorf("%s: sslmode %s", p.of, env["DATABASE_SSLMODE"])
						}
						verified(p, c, env["DATABASE_SSLROOTCERT"], way.postgresql, host)
					}
					if host, ok := env["PGHOST"]; ok {
						asked["libpq"]++
						if env["PGSSLMODE"] != "verify-full" {
							t.Errorf("%s: sslmode %s", p.of, env["PGSSLMODE"])
						}
						verified(p, c, env["PGSSLROOTCERT"], way.postgresql, host)
					}
					for _, arg := range c.Command {
						if raw, ok := strings.CutPrefix(arg, "--url="); ok {
							asked["producer"]++
							u, err := url.Parse(raw)
							if err != nil || u.Scheme != "https" {
								t.Errorf("%s calls %s", p.of, raw)
								continue
							}
							verified(p, c, env["SSL_CERT_DIR"]+"/ca.crt", way.producer, u.Hostname())
						}
					}
					for _, port := range c.Ports {
						if port.ContainerPort == 5672 || port.ContainerPort == 15672 || port.Name == "http" {
							t.Errorf("%s listens in the clear: %d, %s", p.of, port.ContainerPort, port.Name)
						}
					}
				}
			}
			// the producer, and the consumer twice; the consumer twice, both of the Job, the CronJobs, the test; dump and volume
			for what, n := range map[string]int{"RabbitMQ": 3, "PostgreSQL": 5, "libpq": 2, "producer": 1} {
				if asked[what] < n {
					t.Errorf("only %d clients of %s were seen", asked[what], what)
				}
			}
		})
	}
}

func TestTLSServersTakeNothingElse(t *testing.T) {
	objects := parse(t, mustTemplate(t, withSecrets...))
	conf := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/trailpost-rabbitmq")).Data["10-trailpost.conf"]
	for _, line := range []string{
		"listeners.tcp = none", "listeners.ssl.default = 5671", "management.ssl.port = 15671",
		"ssl_options.certfile = /etc/rabbitmq-tls/tls.crt", "ssl_options.keyfile = /etc/rabbitmq-tls/tls.key",
	} {
		if !strings.Contains(conf, "\n"+line+"\n") {
			t.Errorf("rabbitmq.conf has no %q:\n%s", line, conf)
		}
	}
	if strings.Contains(conf, "management.tcp") {
		t.Error("the management page is there in the clear")
	}
	hba := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/trailpost-postgresql")).Data["pg_hba.conf"]
	lines := 0
	for line := range strings.Lines(hba) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		if fields[0] != "local" && (fields[0] != "hostssl" || fields[len(fields)-1] != "scram-sha-256") {
			t.Errorf("pg_hba.conf lets in: %s", line)
		}
	}
	if lines == 0 {
		t.Error("pg_hba.conf is empty")
	}
	for _, p := range pods(t, objects) {
		if p.of != "StatefulSet/trailpost-postgresql" {
			continue
		}
		args := p.spec.Containers[0].Args
		for _, want := range []string{"-cssl=on", "-chba_file=/etc/postgresql-scripts/pg_hba.conf"} {
			if !slices.Contains(args, want) {
				t.Errorf("PostgreSQL runs without %s: %v", want, args)
			}
		}
	}
}

// The ports that TLS moves are open, and those that it left are not.
func TestPoliciesFollowTLS(t *testing.T) {
	objects := parse(t, mustTemplate(t, append(slices.Clone(withSecrets),
		"--set", "networkPolicy.enabled=true,rabbitmq.networkPolicy.enabled=true,postgresql.networkPolicy.enabled=true")...))
	all := policies(t, objects)
	named := map[string]pod{}
	for _, p := range pods(t, objects) {
		named[p.of] = p
	}
	for _, from := range []string{"Deployment/trailpost-producer", "Deployment/trailpost-consumer"} {
		for port, open := range map[int32]bool{5671: true, 5672: false, 15671: true, 15672: false} {
			if out, in := reaches(t, all, named[from], named["StatefulSet/trailpost-rabbitmq"], port); out != open || in != open {
				t.Errorf("%s to RabbitMQ's port %d: out %t, in %t", from, port, out, in)
			}
		}
	}
}
