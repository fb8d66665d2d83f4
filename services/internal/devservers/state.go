package devservers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
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
	return statedir.WriteFile(filepath.Join(dir, stateFile), append(b, '\n'), 0o600)
}
