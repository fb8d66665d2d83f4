// Command schemas writes JSON schemas of Kubernetes objects, for kubeconform, from what Kubernetes itself and the owners
// of custom resources publish in their Go modules: the Go module proxy is all that a machine must reach, and go.sum's
// database vouches for what it gives.
//
//	go run ./hack/schemas DIR
//
// The schemas are strict: a field that an object has not is an error. The definitions of custom resources themselves are
// put into DIR/crds, for a cluster.
package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// Where the schemas are. The Kubernetes version is the newest that the chart is for; the API's rule that fields of a
// stable version only come, never go, makes it strict enough for older ones, whose servers drop what they don't know.
const (
	kubernetes         = "k8s.io/kubernetes@v1.37.2"
	gatewayAPI         = "sigs.k8s.io/gateway-api@v1.5.0"
	prometheusOperator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	keda               = "github.com/kedacore/keda/v2@v2.21.0"
	certManager        = "github.com/cert-manager/cert-manager@v1.21.2"
	barmanCloud        = "github.com/cloudnative-pg/plugin-barman-cloud@v0.15.0"
)

// custom are the CustomResourceDefinitions in modules.
var custom = map[string][]string{
	gatewayAPI: {"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
	prometheusOperator: {
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
	keda:        {"config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"},
	certManager: {"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"},
	barmanCloud: {"config/crd/bases/barmancloud.cnpg.io_objectstores.yaml"},
}

// copies are the CustomResourceDefinitions that are in no module; crds/README.md says whose they are.
//
//go:embed crds/*.yaml
var copies embed.FS

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemas DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "crds"), 0o755); err != nil {
		return err
	}
	root, err := download(kubernetes)
	if err != nil {
		return err
	}
	if err := writeBuiltIn(dir, filepath.Join(root, "api", "openapi-spec", "swagger.json")); err != nil {
		return err
	}
	for module, files := range custom {
		root, err := download(module)
		if err != nil {
			return err
		}
		for _, file := range files {
			definition, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
			if err != nil {
				return err
			}
			if err := writeCustom(dir, path.Base(file), definition); err != nil {
				return err
			}
		}
	}
	entries, err := copies.ReadDir("crds")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		definition, err := copies.ReadFile("crds/" + entry.Name())
		if err != nil {
			return err
		}
		if err := writeCustom(dir, entry.Name(), definition); err != nil {
			return err
		}
	}
	return nil
}

// download returns the folder of a module in the module cache.
func download(module string) (dir string, err error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var answer struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &answer); jsonErr != nil {
		return "", fmt.Errorf("download %s: %w", module, err)
	}
	if answer.Error != "" {
		return "", fmt.Errorf("download %s: %s", module, answer.Error)
	}
	return answer.Dir, nil
}

// save writes one schema.
func save(dir, name string, schema any) error {
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}
