// Package e2e tests Trailpost as it is installed: the images, the Helm chart and
// the servers, on a real cluster made by kind.
//
//	hack/e2e                                  everything
//	hack/e2e -run 'TestScale|TestUpgrade' -v  some of it
//
// The tests are behind the build tag e2e. Each installs into a namespace of its
// own, which bears the restricted Pod Security Standard, and deletes it at its end
// with its volumes. They run one after the other, since a stack takes a good part of a
// small machine; those that mostly wait run together, last.
//
// Some are about what not every cluster has, and say so where they can't be: two workers
// (TestNodesDrained), network policies that are enforced (TestNetworkCut), Prometheus and
// KEDA (TestAlerts, TestAutoscaling, TestDashboards).
//
// What they need is docker, helm and kubectl. What may be said in the
// environment:
//
//	TRAILPOST_E2E_CLUSTER     kind cluster to use; one that is missing is made, and deleted at the end (trailpost-e2e)
//	TRAILPOST_E2E_NODE_IMAGE  node image of a cluster that is made (kind's own)
//	TRAILPOST_E2E_PREVIOUS    commit whose chart and images the upgrade starts from (that of the file last-release)
//	TRAILPOST_E2E_KEEP        not empty: what a failed test leaves is kept, to be looked at
//	TRAILPOST_E2E_LOAD        how long the load of the autoscaling lasts (90s)
//	HELM, HELM4, SKAFFOLD     the binaries (helm; HELM; skaffold)
//
// The tests' client posts to a port of the node, by the way that any client in the
// cluster goes. So it has to reach the node's address, as it does on Linux.
package e2e
