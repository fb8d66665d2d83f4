package chart_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

var jobName = regexp.MustCompile(`^trailpost-migrate-[0-9a-f]{8}$`)

// gitops has no random passwords, so that a Job differs by what a test changes alone.
var gitops = []string{"-f", chart + "/values-gitops.yaml"}

func migrateJob(t *testing.T, args ...string) batchv1.Job {
	t.Helper()
	for _, o := range parse(t, mustTemplate(t, slices.Concat(gitops, args)...)) {
		if o.Kind == "Job" && jobName.MatchString(o.Name) {
			return as[batchv1.Job](t, o)
		}
	}
	t.Fatal("there is no Job whose name ends in a hash")
	return batchv1.Job{}
}

// A Job's template is immutable: what changes it must change the name, and nothing else should.
func TestJobNameFollowsItsSpec(t *testing.T) {
	before := migrateJob(t)
	for _, change := range []string{
		"consumer.image.tag=v2", "migrate.extraEnv[0].name=A", "database.name=other", "migrate.roles=false",
		"migrate.podAnnotations.a=b", "database.existingSecret=other", "postgresql.auth.existingSecret=other",
		"migrate.backoffLimit=7", "podSecurityContext.runAsUser=1000740000",
	} {
		if after := migrateJob(t, "--set", change); after.Name == before.Name {
			t.Errorf("%s leaves the Job's name %s", change, after.Name)
		}
	}
	for _, change := range []string{
		"producer.image.tag=v2", "producer.memoryBudget=32MiB", "consumer.workers=3", "consumer.replicas=5", "commonLabels.a=b",
		"migrate.annotations.a=b",
	} {
		if after := migrateJob(t, "--set", change); after.Name != before.Name {
			t.Errorf("%s changes the Job, from %s to %s", change, before.Name, after.Name)
		}
	}
}

// `migrate roles` sets passwords: other passwords have to run it.
func TestNewPasswordRunsTheJobAgain(t *testing.T) {
	fixed := []string{
		"--set", "database.passwords.owner=a,database.passwords.writer=b,database.passwords.reader=c,database.existingSecret=",
	}
	before := migrateJob(t, fixed...)
	after := migrateJob(t, append(fixed, "--set", "database.passwords.writer=d")...)
	if before.Name == after.Name {
		t.Error("the Job's name is the same")
	}
}

func TestJobDoesItsWork(t *testing.T) {
	job := migrateJob(t)
	spec := job.Spec.Template.Spec
	if got := spec.InitContainers[0].Command; strings.Join(got, " ") != "/migrate roles --wait" {
		t.Errorf("first it runs %q", got)
	}
	if got := spec.Containers[0].Command; strings.Join(got, " ") != "/migrate up --wait" {
		t.Errorf("then it runs %q", got)
	}
	if job.Annotations["helm.sh/hook"] != "" {
		t.Error("it is a hook, and waits for a database that waits for it")
	}
	if job.Spec.TTLSecondsAfterFinished != nil {
		t.Error("it goes away by itself, which GitOps tools repair for ever")
	}
	without := migrateJob(t, "--set", "migrate.roles=false").Spec.Template.Spec
	if len(without.InitContainers) > 0 || strings.Contains(render(t, without), "ADMIN") {
		t.Error("without roles it knows the administrator")
	}
}

func TestNoJob(t *testing.T) {
	for _, o := range parse(t, mustTemplate(t, append(gitops, "--set", "migrate.mode=none")...)) {
		if strings.Contains(o.Name, "migrate") {
			t.Errorf("there is %s", o.id())
		}
	}
}
