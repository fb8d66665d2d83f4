//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// maxElection is the longest time without a 202 that the death of a queue's leader
// may cause. An election takes a few seconds at most; the rest is for a small machine.
const maxElection = 30 * time.Second

// TestThreeNodes: three RabbitMQ nodes hold the queues, and the leader's death is
// an election, no more.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	newRelease(n, machine.helm, buildCurrent(t), append(slices.Clip(besideOthers), "rabbitmq.replicas=3", "producer.replicas=2")...).install(t)
	for _, queue := range []string{"log_queue", "log_queue.dead"} {
		n.waitMembers(t, "trailpost-rabbitmq-0", queue, 3)
	}

	singles := n.newClient(t, n.openDoor(t))
	stop, _ := singles.Start(t.Context(), ledger.Pace{PerSecond: 100, Batch: 1})
	defer stop()
	eventually(t, time.Minute, "events are accepted", func(context.Context) (bool, error) { return singles.Accepted() > 200, nil })

	leader := n.waitMembers(t, "trailpost-rabbitmq-0", "log_queue", 3)
	before := singles.Accepted()
	n.killPod(t, leader)
	n.waitPod(t, leader)
	n.waitMembers(t, leader, "log_queue", 3)
	if singles.Accepted() == before {
		t.Error("no event was accepted while the leader was away: this test does not test what it says")
	}
	stop()
	n.compare(t, singles.Ledger)
	if singles.Gap() > maxElection {
		t.Errorf("%s without a 202 after the leader's death, want at most %s", singles.Gap(), maxElection)
	}
}

// waitMembers waits until a queue has so many members that are all up, asked of one
// node's pod, and returns the pod of the leader.
func (n *namespace) waitMembers(t *testing.T, pod, queue string, members int) (leader string) {
	t.Helper()
	eventually(t, 3*time.Minute, fmt.Sprintf("%s has %d members", queue, members), func(ctx context.Context) (bool, error) {
		text, err := n.exec(ctx, pod, "rabbitmq", "rabbitmq-queues", "--silent", "--formatter", "json", "quorum_status", queue)
		if err != nil {
			return false, err
		}
		leader, err = quorumLeader(text, members)
		return err == nil, err
	})
	return leader
}

// quorumLeader reads what quorum_status prints, which must show so many members, all
// up, and returns the leader's pod.
func quorumLeader(text string, members int) (pod string, err error) {
	var list []struct {
		Node  string `json:"Node Name"`
		State string `json:"Raft State"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return "", fmt.Errorf("quorum_status: %w in %q", err, text)
	}
	var up int
	for _, member := range list {
		switch member.State {
		case "leader":
			up++
			pod = podOfNode(member.Node)
		case "follower":
			up++
		}
	}
	if up != members || len(list) != members || pod == "" {
		return "", fmt.Errorf("quorum_status shows %+v, want %d members that are up", list, members)
	}
	return pod, nil
}

// podOfNode is the pod's name in rabbit@POD.SERVICE.NAMESPACE….
func podOfNode(node string) string {
	_, host, _ := strings.Cut(node, "@")
	pod, _, _ := strings.Cut(host, ".")
	return pod
}
