package app

import (
	"log/slog"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/event"
)

// IdentityKey is the installation's key. The log says which one it is, or what it means that there is none.
func IdentityKey(cfg *config.Config, log *slog.Logger) event.Key {
	key := event.NewKey(cfg.Service.IdentityKeyBytes())
	if key.IsSet() {
		log.Info("ids of events that nobody gave one are derived under the identity key", "identity_key", key.Name())
	} else {
		log.Warn("IDENTITY_KEY is not set: ids of events that nobody gave one are a plain hash, " +
			"so whoever sees one can check a guess of the event's content, even after that was erased")
	}
	return key
}
