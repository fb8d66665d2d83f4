package chart_test

import (
	"strings"
	"testing"
)

// A misspelt value is refused, and its name is in the refusal.
func TestMisspeltValues(t *testing.T) {
	for _, misspelt := range []string{
		"replicas", "Producer.replicas", "producer.replicaCount", "producer.image.tags", "producer.service.ports",
		"producer.autoscaling.minReplica", "producer.ingress.host", "producer.httpRoute.hosts", "producer.tls.secret",
		"producer.apiKey", "producer.apiKeys.secret", "producer.rateLimit.perSecond",
		"producer.podDisruptionBudget.minAvailable", "producer.serviceAccount.annotation", "producer.resources.limit",
		"producer.memoryBudgt", "producer.toleration", "producer.extraEnvs",
		"consumer.replica", "consumer.image.repo", "consumer.batchsize", "consumer.autoscaling.threshold", "consumer.autoscaling.prometheus.address",
		"partitions.retire", "partitions.ensure.month", "partitions.retention.olderthan", "partitions.retention.persistence.class",
		"migrate.modus", "migrate.serviceAccount.nam", "selfTest.timeout", "database.user", "database.users.admin",
		"database.passwords.admin", "database.existingsecret", "database.existingSecrets.admin", "externalDatabase.hostname", "externalDatabase.tls.mode",
		"externalDatabase.admin.password", "externalRabbitmq.user", "externalRabbitmq.tls.ca", "externalRabbitmq.managementURL", "identityKey.secret", "allowLossyPolicy", "networkPolicies.enabled",
		"networkPolicy.enable", "metrics.serviceMonitors", "metrics.serviceMonitor.label", "global.imageregistry",
		"rabbitmq.replicaCount", "rabbitmq.auth.existingsecret", "postgresql.primary", "postgresql.auth.existingsecret",
	} {
		t.Run(misspelt, func(t *testing.T) {
			t.Parallel()
			_, refusal := template(t, "--set-string", misspelt+"=x")
			name := misspelt[strings.LastIndexByte(misspelt, '.')+1:]
			if first, _, _ := strings.Cut(misspelt, "."); first == "Producer" || first == "networkPolicies" {
				name = first
			}
			if !strings.Contains(refusal, "'"+name+"'") {
				t.Errorf("said: %q", refusal)
			}
		})
	}
}

// A subchart that is not installed takes no values that it would not take otherwise.
func TestMisspeltValuesOfWhatIsOff(t *testing.T) {
	for _, name := range []string{"rabbitmq", "postgresql"} {
		_, refusal := template(t, "-f", chart+"/values-external.yaml", "--set", name+".replicaCount=2")
		if !strings.Contains(refusal, "'replicaCount'") {
			t.Errorf("%s: said: %q", name, refusal)
		}
	}
}

// Values that are no such thing.
func TestWrongValues(t *testing.T) {
	for assignment, wants := range map[string]string{
		"producer.replicas=-1":                        "/producer/replicas",
		"producer.replicas=two":                       "/producer/replicas",
		"producer.image.digest=latest":                "/producer/image/digest",
		"producer.service.type=ExternalName":          "/producer/service/type",
		"producer.memoryBudget=much":                  "/producer/memoryBudget",
		"producer.extraEnv[0].value=x":                "/producer/extraEnv/0",
		"producer.rateLimit.burst=0":                  "/producer/rateLimit/burst",
		"producer.trustedProxies[0]=proxy":            "/producer/trustedProxies/0",
		"producer.corsOrigins[0]=a.example.org":       "/producer/corsOrigins/0",
		"producer.corsOrigins[0]=https://a/path":      "/producer/corsOrigins/0",
		"producer.idleTimeout=long":                   "/producer/idleTimeout",
		"migrate.mode=hook":                           "/migrate/mode",
		"partitions.retention.olderThan=400":          "/partitions/retention/olderThan",
		"partitions.retention.patience=10":            "/partitions/retention/patience",
		"logLevel=TRACE":                              "/logLevel",
		"allowLossyPolicies=some":                     "/allowLossyPolicies",
		"externalRabbitmq.managementUrl=r:15672":      "/externalRabbitmq/managementUrl",
		"externalRabbitmq.managementUrl=http://u:p@r": "/externalRabbitmq/managementUrl",
		"externalDatabase.tls.sslmode=verify":         "/externalDatabase/tls/sslmode",
		"externalRabbitmq.queueType=stream":           "/externalRabbitmq/queueType",
		"metrics.serviceMonitor.interval=often":       "/metrics/serviceMonitor/interval",
		"global.tls.enabled=yes":                      "/global/tls/enabled",
		"global.tls.issuerRef.issuer=x":               "/global/tls/issuerRef",
	} {
		t.Run(assignment, func(t *testing.T) {
			t.Parallel()
			if _, refusal := template(t, "--set", assignment); !strings.Contains(refusal, wants) {
				t.Errorf("said: %q", refusal)
			}
		})
	}
}

// Values that are each possible and make no sense together: all of it is said at once.
func TestNonsense(t *testing.T) {
	external := "externalRabbitmq.host=r,externalRabbitmq.existingSecret=s,"
	tests := map[string][]string{
		"rabbitmq.enabled=false,postgresql.enabled=false": {
			"externalRabbitmq.host must name", "externalRabbitmq.existingSecret must name",
			"externalDatabase.host must name", "externalDatabase.admin.existingSecret must name",
		},
		"externalRabbitmq.host=r": {"no effect while rabbitmq.enabled is true"},
		"rabbitmq.enabled=false," + external + "externalRabbitmq.tls.enabled=true,externalRabbitmq.managementUrl=http://r:15672": {"must be https, or the passwords"},
		"externalRabbitmq.managementUrl=http://r:15672":                          {"no effect while rabbitmq.enabled is true"},
		"externalDatabase.host=r":                                                {"no effect while postgresql.enabled is true"},
		"rabbitmq.enabled=false," + external + "externalRabbitmq.tls.caSecret=x": {"externalRabbitmq.tls.enabled is false"},
		"postgresql.enabled=false,externalDatabase.host=p,externalDatabase.admin.existingSecret=s,externalDatabase.tls.sslmode=verify-full": {
			"externalDatabase.tls.caSecret must name"},
		"migrate.roles=false":                                  {"give database.existingSecret, all database.existingSecrets or all database.passwords"},
		"migrate.mode=none,database.passwords.owner=x":         {"give database.existingSecret, all database.existingSecrets or all database.passwords"},
		"database.existingSecret=s,database.passwords.owner=x": {"no effect beside database.existingSecret"},
		"database.existingSecrets.writer=s":                    {"are given together or not at all"},
		"database.existingSecrets.owner=o,database.existingSecrets.writer=w,database.existingSecrets.reader=r,database.existingSecret=s": {
			"have no effect beside them"},
		"global.tls.issuerRef.name=i": {"no effect while global.tls.enabled is false"},
		"producer.tls.dnsNames={a}":   {"producer.tls.dnsNames are for a certificate of cert-manager's"},
		"global.tls.enabled=true,global.tls.issuerRef.name=i,consumer.autoscaling.enabled=true,consumer.autoscaling.trigger=rabbitmq": {
			"authenticationRef must name a TriggerAuthentication with the authority"},
		"database.users.reader=trailpost_owner":                                                             {"must be three roles"},
		"partitions.retention.enabled=true,partitions.retention.olderThan=30d":                              {"olderThan is 30d, it must be at least 31d"},
		"partitions.retention.enabled=true,partitions.retention.olderThan=45d,producer.eventIdMaxAge=45d":   {"olderThan is 45d, it must be at least 46d"},
		"partitions.retention.enabled=true,partitions.retention.olderThan=45d,producer.eventIdMaxAge=1057h": {"olderThan is 45d, it must be at least 46d"},
		"producer.replicas=2,producer.autoscaling.enabled=true":                                             {"no effect while producer.autoscaling.enabled is true"},
		"producer.autoscaling.minReplicas=9":                                                                {"minReplicas is above maxReplicas"},
		"consumer.replicas=2,consumer.autoscaling.enabled=true":                                             {"no effect while consumer.autoscaling.enabled is true", "prometheus.serverAddress must say"},
		"consumer.autoscaling.enabled=true,consumer.autoscaling.trigger=rabbitmq,rabbitmq.enabled=false,externalRabbitmq.tls.enabled=true,externalRabbitmq.tls.caSecret=x," + external: {
			"rabbitmq.authenticationRef must name"},
		"producer.apiKeys.enabled=false,producer.apiKeys.existingSecret=s": {"no effect while producer.apiKeys.enabled is false"},
		"producer.confirmTimeoutSeconds=15":                                {"must be above producer.confirmTimeoutSeconds"},
		"producer.ingress.enabled=true,producer.httpRoute.enabled=true":    {"producer.ingress.hosts is empty", "must name the Gateway"},
	}
	for assignments, wants := range tests {
		t.Run(assignments, func(t *testing.T) {
			t.Parallel()
			_, refusal := template(t, "--set", assignments)
			for _, want := range wants {
				if !strings.Contains(refusal, want) {
					t.Errorf("said: %q, not %q", refusal, want)
				}
			}
		})
	}
}
