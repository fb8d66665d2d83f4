package chart_test

import (
	"regexp"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

func postgresServer(t *testing.T, args ...string) appsv1.StatefulSetSpec {
	t.Helper()
	return as[appsv1.StatefulSet](t, find(t, mustSubchart(t, "postgresql", args...), "StatefulSet/trailpost-postgresql")).Spec
}

// What is acknowledged is on the disk, whatever else is set.
func TestPostgreSQLSettings(t *testing.T) {
	args := postgresServer(t, "--set", "config.work_mem=16MB,config.max_connections=200,config.jit=true,config.autovacuum_freeze_max_age=1000000000,config.log_lock_waits=null").Template.Spec.Containers[0].Args
	for _, want := range []string{
		"-cfsync=on", "-csynchronous_commit=on", "-cfull_page_writes=on", "-cshared_buffers=256MB",
		"-cwork_mem=16MB", "-cmax_connections=200", "-cjit=true", "-cautovacuum_freeze_max_age=1000000000",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("no %s in %q", want, args)
		}
	}
	if slices.ContainsFunc(args, func(arg string) bool { return regexp.MustCompile(`lock_waits|e\+`).MatchString(arg) }) {
		t.Errorf("%q", args)
	}
}

func TestPostgreSQLOnAnExistingClaim(t *testing.T) {
	server := postgresServer(t, "--set", "persistence.existingClaim=given")
	if len(server.VolumeClaimTemplates) > 0 {
		t.Error("it makes a claim of its own, too")
	}
	if !slices.ContainsFunc(server.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == "data" && v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == "given"
	}) {
		t.Error("it does not mount the claim")
	}
}

var volumeJob = regexp.MustCompile(`^trailpost-postgresql-backup-volume-[0-9a-f]{8}$`)

func volumeJobs(t *testing.T, args ...string) []string {
	t.Helper()
	var names []string
	for _, o := range mustSubchart(t, "postgresql", args...) {
		if o.Kind == "Job" && volumeJob.MatchString(o.Name) {
			names = append(names, o.Name)
		}
	}
	return names
}

func TestBackup(t *testing.T) {
	for _, o := range mustSubchart(t, "postgresql") {
		if o.Kind == "CronJob" || o.Kind == "PersistentVolumeClaim" {
			t.Errorf("there is %s by default", o.id())
		}
	}
	objects := mustSubchart(t, "postgresql", "--set", "backup.enabled=true,backup.keep=3")
	backup := as[batchv1.CronJob](t, find(t, objects, "CronJob/trailpost-postgresql-backup"))
	if backup.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		t.Error("two dumps may run at once and prune each other's")
	}
	claim := as[corev1.PersistentVolumeClaim](t, find(t, objects, "PersistentVolumeClaim/trailpost-postgresql-backup"))
	if claim.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the backups go with the release")
	}
	for _, o := range mustSubchart(t, "postgresql", "--set", "backup.enabled=true,backup.persistence.existingClaim=given") {
		if o.Kind == "PersistentVolumeClaim" {
			t.Errorf("there is %s beside an existing claim", o.id())
		}
	}
}

// The Job that tries the backup's volume is immutable, so its name has to follow its spec, and nothing else.
func TestBackupVolumeJobFollowsItsSpec(t *testing.T) {
	on := "backup.enabled=true,auth.existingSecret=given,"
	before := volumeJobs(t, "--set", on)
	if len(before) != 1 {
		t.Fatalf("jobs: %v", before)
	}
	for _, change := range []string{"image.tag=18.7", "backup.keep=2", "podLabels.a=b", "backup.persistence.existingClaim=given"} {
		if slices.Equal(volumeJobs(t, "--set", on+change), before) {
			t.Errorf("%s leaves its name", change)
		}
	}
	for _, change := range []string{"commonLabels.a=b", "backup.schedule=1 2 * * *", "config.jit=on", "resources.requests.cpu=1"} {
		if !slices.Equal(volumeJobs(t, "--set", on+change), before) {
			t.Errorf("%s changes its name", change)
		}
	}
}
