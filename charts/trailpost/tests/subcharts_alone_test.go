package chart_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// alone are the ways to install each subchart without the chart.
var alone = map[string]map[string][]string{
	"rabbitmq": {
		"defaults":        nil,
		"three":           {"--set", "replicas=3"},
		"existing secret": {"--set", "auth.existingSecret=given"},
		"everything": {"--set", "replicas=3,networkPolicy.enabled=true,metrics.serviceMonitor.enabled=true,podLabels.a=b,commonLabels.c=d," +
			"extraEnv[0].name=A,extraEnv[0].value=b,extraConfig=heartbeat = 30,extraPlugins={rabbitmq_tracing}"},
		"bare": {"--set", "management.enabled=false,metrics.enabled=false,serviceAccount.create=false,podDisruptionBudget.enabled=false"},
	},
	"postgresql": {
		"defaults":        nil,
		"existing secret": {"--set", "auth.existingSecret=given"},
		"tls":             {"--set", "global.tls.enabled=true,tls.existingSecret=given,backup.enabled=true,networkPolicy.enabled=true"},
		"existing claim":  {"--set", "persistence.existingClaim=given"},
		"everything": {"--set", "backup.enabled=true,backup.databases={a,b},backup.timeZone=Etc/UTC,networkPolicy.enabled=true,podLabels.a=b," +
			"commonLabels.c=d,extraEnv[0].name=A,extraEnv[0].value=b,database=trail,initdbArgs=--locale=C"},
	},
}

func inEachWayAlone(t *testing.T, test func(t *testing.T, objects []object)) {
	for name, ways := range alone {
		for way, args := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				test(t, mustSubchart(t, name, args...))
			})
		}
	}
}

func TestSubchartsAloneAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	inEachWayAlone(t, func(t *testing.T, objects []object) {
		for _, p := range pods(t, objects) {
			for _, result := range evaluator.EvaluatePod(restricted, &p.metadata, &p.spec) {
				if !result.Allowed {
					t.Errorf("%s: %s: %s", p.of, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
			if p.spec.AutomountServiceAccountToken == nil || *p.spec.AutomountServiceAccountToken {
				t.Errorf("%s: its pods get a token for the Kubernetes API", p.of)
			}
			for _, c := range p.containers() {
				confined(t, p.of+": "+c.Name, c)
			}
		}
	})
}

func TestSubchartsAloneHaveTheirPolicies(t *testing.T) {
	for name := range alone {
		objects := mustSubchart(t, name, alone[name]["everything"]...)
		all := policies(t, objects)
		for _, p := range pods(t, objects) {
			n := 0
			for _, policy := range all {
				if selects(t, policy.Spec.PodSelector, p) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s has %d network policies", p.of, n)
			}
		}
	}
}

// With an existing Secret nothing of it is made, asked for or written anywhere.
func TestSubchartsTakeAnExistingSecret(t *testing.T) {
	for name := range alone {
		objects := mustSubchart(t, name, "--set", "auth.existingSecret=given")
		for _, o := range objects {
			if o.Kind == "Secret" {
				t.Errorf("%s: there is %s", name, o.id())
			}
		}
		for _, p := range pods(t, objects) {
			for _, v := range p.spec.Volumes {
				if v.Secret != nil && v.Secret.SecretName != "given" {
					t.Errorf("%s mounts the Secret %s", p.of, v.Secret.SecretName)
				}
			}
		}
	}
}

// What users typed is what is stored, and the rest is made.
func TestSubchartsPasswords(t *testing.T) {
	const odd = `it's "odd" $1 \n %s`
	for name, keys := range map[string]map[string]string{
		"rabbitmq":   {"auth.adminPassword": "admin-password", "auth.producerPassword": "producer-password", "auth.consumerPassword": "consumer-password"},
		"postgresql": {"auth.password": "postgres-password"},
	} {
		for value, key := range keys {
			objects := mustSubchart(t, name, "--set-literal", value+"="+odd)
			secret := as[corev1.Secret](t, find(t, objects, "Secret/trailpost-"+name))
			if got := string(secret.Data[key]); got != odd {
				t.Errorf("%s: %s is %q", name, key, got)
			}
			for other, password := range secret.Data {
				if other != key && len(password) != 32 {
					t.Errorf("%s: %s has %d characters", name, other, len(password))
				}
			}
			if secret.Annotations["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s: its Secret goes with the release", name)
			}
		}
	}
}

func TestSubchartsRefuse(t *testing.T) {
	for name, refused := range map[string]map[string]string{
		"rabbitmq": {
			"replicas=0":                         "/replicas",
			"replicas=2":                         "/replicas",
			"replicas=5":                         "/replicas",
			"replicaCount=3":                     "'replicaCount'",
			"queue.lazy=true":                    "'lazy'",
			"resources.limits.memory=null":       "memory",
			"resources.limits.memory=1GB":        "/resources/limits/memory",
			"diskFreeLimit=1Gi":                  "/diskFreeLimit",
			"memoryHighWatermark=1.5":            "/memoryHighWatermark",
			"persistence.enabled=false":          "'enabled'",
			"auth.erlangCookie=a b":              "/auth/erlangCookie",
			"extraEnv[0].name=RABBITMQ_NODENAME": "RABBITMQ_NODENAME is set by the chart",
			"metrics.enabled=false,metrics.serviceMonitor.enabled=true": "no effect while metrics.enabled is false",
		},
		"postgresql": {
			"replicas=2":                    "'replicas'",
			"config.fsync=off":              "/config/fsync",
			"config.synchronous_commit=off": "/config/synchronous_commit",
			"config.full_page_writes=off":   "/config/full_page_writes",
			"config.Shared_Buffers=1GB":     "'Shared_Buffers'",
			"backup.keep=0":                 "/backup/keep",
			"backup.scedule=x":              "'scedule'",
			"extraEnv[0].name=PGDATA":       "PGDATA is set by the chart",
			"persistence.sizes=1Gi":         "'sizes'",
		},
	} {
		for assignment, want := range refused {
			t.Run(name+"/"+assignment, func(t *testing.T) {
				t.Parallel()
				if _, refusal := subchart(t, name, "--set", assignment); !strings.Contains(refusal, want) {
					t.Errorf("said: %q", refusal)
				}
			})
		}
	}
}
