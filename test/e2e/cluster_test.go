//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	kind "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
)

// cluster is a kind cluster and the ways into it.
type cluster struct {
	name       string
	address    string // of a node
	kubeconfig string // a file of our own, so that nobody's current context matters
	rest       *rest.Config
	clientset  *kubernetes.Clientset
	nodes      []nodes.Node
}

// openCluster uses the cluster of that name, or makes it. end takes back what was
// made, also after an error.
func openCluster(ctx context.Context, name, nodeImage string) (c *cluster, end func(), err error) {
	dir, err := os.MkdirTemp("", "trailpost-e2e-")
	if err != nil {
		return nil, nil, err
	}
	undo := []func(){func() { _ = os.RemoveAll(dir) }}
	end = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	c = &cluster{name: name, kubeconfig: filepath.Join(dir, "kubeconfig")}

	provider := kind.NewProvider(kind.ProviderWithDocker())
	existing, err := provider.List()
	if err != nil {
		return nil, end, fmt.Errorf("listing kind's clusters: %w", err)
	}
	if !slices.Contains(existing, name) {
		undo = append(undo, func() {
			if err := provider.Delete(name, c.kubeconfig); err != nil {
				fmt.Fprintf(os.Stderr, "e2e: deleting cluster %s: %v\n", name, err)
			}
		})
		config, err := clusterConfig(ctx)
		if err != nil {
			return nil, end, err
		}
		err = provider.Create(name, kind.CreateWithNodeImage(nodeImage), kind.CreateWithRawConfig(config),
			kind.CreateWithKubeconfigPath(c.kubeconfig), kind.CreateWithWaitForReady(3*time.Minute))
		if err != nil {
			return nil, end, fmt.Errorf("making cluster %s: %w", name, err)
		}
	}

	if err := c.connect(provider); err != nil {
		return nil, end, fmt.Errorf("cluster %s: %w", name, err)
	}
	if err := c.keepIn(ctx); err != nil {
		return nil, end, err
	}
	// What docker has, the nodes need not fetch.
	for _, image := range serverImages {
		if _, err := command(ctx, "docker", "image", "inspect", image); err != nil {
			continue
		}
		if err := c.load(ctx, image); err != nil {
			return nil, end, err
		}
	}
	return c, end, nil
}

// clusterConfig is kind's configuration of one node.
func clusterConfig(ctx context.Context) ([]byte, error) {
	config := "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
	version, err := command(ctx, "docker", "info", "--format", "{{.CgroupVersion}}")
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(version) == "1" { // which the kubelet refuses unless it is told not to
		config += "kubeadmConfigPatches:\n  - |\n    kind: KubeletConfiguration\n    failCgroupV1: false\n"
	}
	return []byte(config), nil
}

func (c *cluster) connect(provider *kind.Provider) error {
	text, err := provider.KubeConfig(c.name, false)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.kubeconfig, []byte(text), 0o600); err != nil {
		return err
	}
	c.rest, err = clientcmd.RESTConfigFromKubeConfig([]byte(text))
	if err != nil {
		return err
	}
	c.rest.QPS, c.rest.Burst = 50, 100
	c.clientset, err = kubernetes.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	c.nodes, err = provider.ListInternalNodes(c.name)
	if err != nil {
		return err
	}
	if len(c.nodes) == 0 {
		return errors.New("it has no nodes")
	}
	c.address, _, err = c.nodes[0].IP()
	return err
}

// watched is a clientset that keeps what the API server warns its calls of.
func (c *cluster) watched() (*kubernetes.Clientset, *warnings, error) {
	kept, config := new(warnings), rest.CopyConfig(c.rest)
	config.WarningHandlerWithContext = kept
	clientset, err := kubernetes.NewForConfig(config)
	return clientset, kept, err
}

// keepIn lets no packet for a pod leave its node. The nodes have a route for each pod;
// without one for all the others, a packet for a pod that is just gone takes the way to
// the internet, where someone might answer.
func (c *cluster) keepIn(ctx context.Context) error {
	for _, node := range c.nodes {
		object, err := c.clientset.CoreV1().Nodes().Get(ctx, node.String(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := node.CommandContext(ctx, "ip", "route", "replace", "unreachable", object.Spec.PodCIDR).Run(); err != nil {
			return fmt.Errorf("node %s: routing %s: %w", node, object.Spec.PodCIDR, err)
		}
	}
	return nil
}

// load puts an image of the local docker into every node that lacks it.
func (c *cluster) load(ctx context.Context, image string) error {
	id, err := command(ctx, "docker", "image", "inspect", "--format", "{{.Id}}", image)
	if err != nil {
		return err
	}
	id = strings.TrimSpace(id)
	var archive string
	for _, node := range c.nodes {
		if there, err := nodeutils.ImageID(node, image); err == nil && there == id {
			continue
		}
		if archive == "" {
			if archive, err = command(ctx, "docker", "save", image); err != nil {
				return err
			}
		}
		if err := nodeutils.LoadImageArchive(node, bytes.NewReader([]byte(archive))); err != nil {
			return fmt.Errorf("loading %s into %s: %w", image, node, err)
		}
	}
	return nil
}

// warnings keeps what the API server warned of; a pod that violates the namespace's
// security standard is such a warning.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeaderWithContext is rest.WarningHandlerWithContext's.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, code int, _, text string) {
	if code != 299 || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.texts)
}
