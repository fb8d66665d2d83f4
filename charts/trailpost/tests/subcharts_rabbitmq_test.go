package chart_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// definitions is the part of a definitions file that the chart writes.
type definitions struct {
	Users []struct {
		Name         string   `json:"name"`
		Tags         []string `json:"tags"`
		PasswordHash string   `json:"password_hash"`
	} `json:"users"`
	Permissions []struct {
		User      string `json:"user"`
		Vhost     string `json:"vhost"`
		Configure string `json:"configure"`
		Write     string `json:"write"`
		Read      string `json:"read"`
	} `json:"permissions"`
	Policies []struct {
		Pattern    string         `json:"pattern"`
		ApplyTo    string         `json:"apply-to"`
		Priority   int            `json:"priority"`
		Definition map[string]any `json:"definition"`
	} `json:"policies"`
	Queues []struct {
		Name      string         `json:"name"`
		Durable   bool           `json:"durable"`
		Arguments map[string]any `json:"arguments"`
	} `json:"queues"`
}

func rabbitFiles(t *testing.T, args ...string) map[string]string {
	t.Helper()
	return as[corev1.ConfigMap](t, find(t, mustSubchart(t, "rabbitmq", args...), "ConfigMap/trailpost-rabbitmq")).Data
}

func rabbitDefinitions(t *testing.T, args ...string) definitions {
	t.Helper()
	var d definitions
	if err := json.Unmarshal([]byte(rabbitFiles(t, args...)["definitions.json"]), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func rabbitNodes(t *testing.T, args ...string) appsv1.StatefulSetSpec {
	t.Helper()
	return as[appsv1.StatefulSet](t, find(t, mustSubchart(t, "rabbitmq", args...), "StatefulSet/trailpost-rabbitmq")).Spec
}

// A queue that exists with other arguments than a client declares is refused (406), and arguments never change. So the
// chart's are held against the source of what Trailpost declares.
func TestQueuesAreWhatTrailpostDeclares(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), chart+"/../../services/internal/broker/internal/queues/topology.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]any{
		"log_queue":      argumentsOf(t, file, "queueArguments", "log_queue.dead"),
		"log_queue.dead": argumentsOf(t, file, "deadArguments", ""),
	}
	got := map[string]map[string]any{}
	for _, q := range rabbitDefinitions(t).Queues {
		if !q.Durable {
			t.Errorf("%s is not durable", q.Name)
		}
		got[q.Name] = q.Arguments
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the chart declares\n%v, Trailpost\n%v", got, want)
	}
}

// argumentsOf reads the table that a function of topology.go returns; dead is the value of its parameter.
func argumentsOf(t *testing.T, file *ast.File, function, dead string) map[string]any {
	t.Helper()
	table := map[string]any{}
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncDecl); ok {
			return f.Name.Name == function
		}
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		name, err := strconv.Unquote(pair.Key.(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		switch v := pair.Value.(type) {
		case *ast.BasicLit:
			table[name], err = strconv.Unquote(v.Value)
		case *ast.Ident:
			table[name] = dead
		case *ast.CallExpr: // a conversion, as int64(1)
			var number int64
			number, err = strconv.ParseInt(v.Args[0].(*ast.BasicLit).Value, 0, 64)
			table[name] = float64(number)
		default:
			t.Fatalf("%s: a value of a form that this test does not know", name)
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	if len(table) == 0 {
		t.Fatalf("topology.go has no table in %s", function)
	}
	return table
}

// Rights are regular expressions, and queues may have names that are not.
func TestUsersHaveTheLeastRights(t *testing.T) {
	d := rabbitDefinitions(t, "--set", "queue.name=a.b+c")
	type rights struct{ configure, write, read string }
	got := map[string]rights{}
	for _, p := range d.Permissions {
		matches := func(pattern string) string {
			var names []string
			for _, name := range []string{"amq.default", "a.b+c", "a.b+c.dead", "axb+c", "a.b+c.deadly", "amq.topic", "amqxdefault"} {
				if regexp.MustCompile(pattern).MatchString(name) {
					names = append(names, name)
				}
			}
			return strings.Join(names, " ")
		}
		got[p.User] = rights{matches(p.Configure), matches(p.Write), matches(p.Read)}
	}
	all := "amq.default a.b+c a.b+c.dead axb+c a.b+c.deadly amq.topic amqxdefault"
	want := map[string]rights{
		"admin":    {all, all, all},
		"producer": {"", "amq.default a.b+c a.b+c.dead", ""},
		"consumer": {"", "amq.default", "a.b+c a.b+c.dead"},
	}
	if !maps.Equal(got, want) {
		t.Errorf("rights are %v", got)
	}
	for _, u := range d.Users {
		// management: to see their queues, and the policies that these are under, over HTTP; no more than their rights allow.
		if want := map[string]string{"admin": "administrator", "producer": "management", "consumer": "management"}[u.Name]; !slices.Equal(u.Tags, []string{want}) {
			t.Errorf("%s has the tags %v", u.Name, u.Tags)
		}
		if u.PasswordHash != "@"+u.Name+"-password@" {
			t.Errorf("%s has the password hash %q", u.Name, u.PasswordHash)
		}
	}
}

// Each queue has a policy of its own above those that somebody makes for all queues, and it has nothing that drops.
func TestQueuePolicies(t *testing.T) {
	dead := func(timeout float64) map[string]any {
		return map[string]any{"overflow": "reject-publish", "delivery-limit": 2000000000.0, "consumer-timeout": timeout}
	}
	for args, want := range map[string][]map[string]any{
		"logLevel=info": {{"overflow": "reject-publish", "delivery-limit": 1000.0, "consumer-timeout": 21600000.0}, dead(21600000)},
		"queue.maxLengthBytes=8589934592,queue.deliveryLimit=50,queue.consumerTimeoutSeconds=60": {
			{"overflow": "reject-publish", "delivery-limit": 50.0, "consumer-timeout": 60000.0, "max-length-bytes": 8589934592.0}, dead(60000)},
		"queue.name=a.b+c": {{"overflow": "reject-publish", "delivery-limit": 1000.0, "consumer-timeout": 21600000.0}, dead(21600000)},
	} {
		d := rabbitDefinitions(t, "--set", args)
		if len(d.Policies) != 2 {
			t.Fatalf("%s: policies are %v", args, d.Policies)
		}
		name := d.Queues[1].Name
		for i, queue := range []string{name, name + ".dead"} {
			p := d.Policies[i]
			if !reflect.DeepEqual(p.Definition, want[i]) || p.Priority != 1000 || p.ApplyTo != "quorum_queues" {
				t.Errorf("%s: the policy of %s is %v", args, queue, p)
			}
			for _, other := range []string{name, name + ".dead", name + ".deadly", "axb+c", "axb+c.dead", "log_queueXdead"} {
				if got := regexp.MustCompile(p.Pattern).MatchString(other); got != (other == queue) {
					t.Errorf("%s: the policy of %s applies to %s: %v", args, queue, other, got)
				}
			}
		}
	}
}

// The broker goes by the container's limit: what the machine has is not its own.
func TestMemoryIsTheContainersLimit(t *testing.T) {
	for limit, bytes := range map[string]string{"1Gi": "1073741824", "1.5Gi": "1610612736", "512Mi": "536870912", "2G": "2000000000", "800M": "800000000", "1000000000": "1000000000"} {
		conf := rabbitFiles(t, "--set", "resources.limits.memory="+limit)["10-trailpost.conf"]
		if !strings.Contains(conf, "total_memory_available_override_value = "+bytes+"\n") {
			t.Errorf("%s: not %s in\n%s", limit, bytes, conf)
		}
	}
}

func TestClusterOfThree(t *testing.T) {
	for replicas, want := range map[string]int32{"1": 1, "3": 3} {
		nodes := rabbitNodes(t, "--set", "replicas="+replicas)
		if *nodes.Replicas != want || nodes.PodManagementPolicy != appsv1.ParallelPodManagement {
			t.Errorf("%s: %d nodes, %s", replicas, *nodes.Replicas, nodes.PodManagementPolicy)
		}
		// A single node has nobody to wait for and nobody to hand over to.
		if hook := nodes.Template.Spec.Containers[0].Lifecycle; (hook != nil) != (want > 1) {
			t.Errorf("%s: its hook is %v", replicas, hook)
		}
		conf := rabbitFiles(t, "--set", "replicas="+replicas)["10-trailpost.conf"]
		for _, line := range []string{
			"cluster_formation.target_cluster_size_hint = ", "quorum_queue.continuous_membership_reconciliation.target_group_size = ",
		} {
			if !strings.Contains(conf, line+replicas+"\n") {
				t.Errorf("no %q%s in\n%s", line, replicas, conf)
			}
		}
	}
	headless := as[corev1.Service](t, find(t, mustSubchart(t, "rabbitmq"), "Service/trailpost-rabbitmq-headless"))
	if !headless.Spec.PublishNotReadyAddresses || headless.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Error("nodes that are not ready have no names, so that they never find each other")
	}
}

// A node reads passwords when it starts: one that is given as a value restarts it, and made ones, which differ from one
// rendering to the next, don't.
func TestNodesRestartForGivenPasswords(t *testing.T) {
	render := func(set string) string { return asYAML(t, rabbitNodes(t, "--set", set).Template) }
	if first, second := render("logLevel=info"), render("logLevel=info"); first != second {
		t.Error("made passwords restart the nodes at each upgrade")
	}
	if render("auth.producerPassword=a") == render("auth.producerPassword=b") {
		t.Error("a given password does not restart the nodes")
	}
	if template := render("auth.producerPassword=correct-horse"); strings.Contains(template, "correct-horse") {
		t.Errorf("the password is in\n%s", template)
	}
}

// Nodes restart for what they read at their start, and for nothing else.
func TestNodesRestartForTheirConfiguration(t *testing.T) {
	fixed := []string{"--set", "auth.existingSecret=given"}
	render := func(args ...string) string {
		return asYAML(t, rabbitNodes(t, append(fixed, args...)...).Template)
	}
	before := render()
	for _, change := range []string{"logLevel=debug", "queue.deliveryLimit=5", "memoryHighWatermark=0.5", "extraConfig=heartbeat = 10", "resources.limits.memory=2Gi"} {
		if render("--set", change) == before {
			t.Errorf("%s does not restart the nodes", change)
		}
	}
	for _, change := range []string{"commonLabels.a=b", "service.annotations.a=b", "networkPolicy.enabled=true", "metrics.serviceMonitor.enabled=true", "podDisruptionBudget.enabled=false"} {
		if render("--set", change) != before {
			t.Errorf("%s restarts the nodes", change)
		}
	}
}
