package devservers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// state is what a pair remembers between starts; state.json in its folder, mode
// 0600. Whoever can read it can attach to the running servers.
type state struct {
	Kind      Kind          `json:"kind"`
	ID        string        `json:"id"`   // makes container and volume names unique
	Data      string        `json:"data"` // folder of the servers' own folders
	Temporary bool          `json:"temporary,omitempty"`
	HostNet   bool          `json:"host_network,omitempty"` // containers on the host's network
	TLS       *TLS          `json:"tls,omitempty"`          // nil: neither server speaks it
	Postgres  postgresState `json:"postgres"`
	Rabbit    rabbitState   `json:"rabbit"`
}

type postgresState struct {
	Port     int    `json:"port"`
	Password string `json:"password"` // the superuser's
}

type rabbitState struct {
	Port     int    `json:"port"`      // AMQP
	DistPort int    `json:"dist_port"` // Erlang distribution
	EPMDPort int    `json:"epmd_port"` // Erlang's port mapper
	Cookie   string `json:"cookie"`
	Password string `json:"password"`

	MetricsPort    int `json:"metrics_port,omitempty"`    // 0: no metrics
	ManagementPort int `json:"management_port,omitempty"` // 0: no management API
}

const stateFile = "state.json"

// loadState reads a folder's state; found is false if it has none yet.
func loadState(dir string) (s state, found bool, err error) {
	name := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, false, fmt.Errorf("%s: %w", name, err)
	}
	return s, true, nil
}

func (s *state) save(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, stateFile), append(b, '\n'), 0o600)
}

// WriteFile replaces a file at once: a reader, or a crash, finds the old content
// or the new, and its mode is as said from the first moment.
func WriteFile(name string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
