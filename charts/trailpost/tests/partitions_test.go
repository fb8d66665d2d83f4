package chart_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

const bothOn = "partitions.ensure.enabled=true,partitions.retention.enabled=true,"

func TestNoPartitionJobsByDefault(t *testing.T) {
	if manifests := mustTemplate(t, "--set", "networkPolicy.enabled=true"); strings.Contains(string(manifests), "partitions") {
		t.Error("something of partitions is there by default")
	}
}

func cronJob(t *testing.T, objects []object, name string) batchv1.CronJobSpec {
	t.Helper()
	return as[batchv1.CronJob](t, find(t, objects, "CronJob/"+name)).Spec
}

func TestPartitionCronJobs(t *testing.T) {
	objects := parse(t, mustTemplate(t, "--set", bothOn+"partitions.ensure.monthsAhead=6,partitions.retention.olderThan=100d,producer.eventIdMaxAge=90d"))
	for name, want := range map[string]string{
		"trailpost-ensure": "/migrate partitions ensure --months=6",
		"trailpost-retire": "/migrate partitions retire --older-than=100d --dir=/exports --patience=10m",
	} {
		job := cronJob(t, objects, name)
		if job.ConcurrencyPolicy != batchv1.ForbidConcurrent {
			t.Errorf("two of %s may run at once", name)
		}
		container := job.JobTemplate.Spec.Template.Spec.Containers[0]
		if got := strings.Join(container.Command, " "); got != want {
			t.Errorf("%s runs %q, want %q", name, got, want)
		}
		env := map[string]string{}
		for _, e := range container.Env {
			env[e.Name] = e.Value
		}
		if env["EVENT_ID_MAX_AGE"] != "90d" || env["MIGRATE_DATABASE_USER"] != "trailpost_owner" || env["DATABASE_USER"] != "" {
			t.Errorf("%s: environment %v", name, env)
		}
		if passwords := render(t, job.JobTemplate.Spec.Template.Spec.Volumes); !strings.Contains(passwords, "owner-password") ||
			strings.Contains(passwords, "writer-password") || strings.Contains(passwords, "postgres-password") {
			t.Errorf("%s has these passwords: %s", name, passwords)
		}
	}
}

// The exports are all that is left of their events.
func TestExportsStay(t *testing.T) {
	claim := as[corev1.PersistentVolumeClaim](t, find(t, parse(t, mustTemplate(t, "--set", bothOn)), "PersistentVolumeClaim/trailpost-exports"))
	if claim.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the exports go with the release")
	}
	objects := parse(t, mustTemplate(t, "--set", bothOn+"partitions.retention.persistence.existingClaim=given"))
	for _, o := range objects {
		if o.Kind == "PersistentVolumeClaim" {
			t.Errorf("there is %s beside an existing claim", o.id())
		}
	}
	volumes := cronJob(t, objects, "trailpost-retire").JobTemplate.Spec.Template.Spec.Volumes
	if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == "given"
	}) {
		t.Error("it does not mount the claim")
	}
}

var exportsJob = regexp.MustCompile(`^trailpost-exports-[0-9a-f]{8}$`)

// A Job's template is immutable, so the name has to follow it.
func TestExportsJobFollowsItsSpec(t *testing.T) {
	name := func(more string) string {
		t.Helper()
		for _, o := range parse(t, mustTemplate(t, "--set", bothOn+more)) {
			if o.Kind == "Job" && exportsJob.MatchString(o.Name) {
				return o.Name
			}
		}
		t.Fatal("there is no Job that tries the volume")
		return ""
	}
	before := name("")
	for _, change := range []string{"consumer.image.tag=v2", "partitions.retention.persistence.existingClaim=given", "partitions.podLabels.a=b"} {
		if name(change) == before {
			t.Errorf("%s leaves its name", change)
		}
	}
	for _, change := range []string{"partitions.retention.schedule=1 2 * * *", "partitions.retention.olderThan=500d", "commonLabels.a=b", "producer.image.tag=v2"} {
		if name(change) != before {
			t.Errorf("%s changes its name", change)
		}
	}
}

// A CronJob's name may have 52 characters, a Job's pods' label 63.
func TestNamesOfPartitionJobsFit(t *testing.T) {
	long := strings.Repeat("n", 60)
	for _, o := range parse(t, mustTemplate(t, "--set", bothOn+"fullnameOverride="+long)) {
		most := map[string]int{"CronJob": 52, "Job": 63}[o.Kind]
		if most > 0 && len(o.Name) > most {
			t.Errorf("%s has %d characters", o.id(), len(o.Name))
		}
	}
}
