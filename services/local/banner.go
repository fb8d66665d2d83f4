package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/trailpost/trailpost/services/internal/devservers"
)

// banner is what a person needs now. Its lines work when they are pasted into a shell.
func banner(home, data string, p *environment) string {
	api := "http://" + p.producer
	return fmt.Sprintf(`
Trailpost is running. Ctrl-C stops it; its data stay in %[1]s.

  API         %[2]s        (%[2]s/docs, /health, /queue/status, /metrics)
  Consumer    http://%[3]s        (/readyz, /metrics)
  PostgreSQL  %[4]s
  RabbitMQ    %[5]s

Try it:

  curl -i -X POST %[2]s/log -H 'Content-Type: application/json' -d '{"session_id": 1, "event_type": "review_started", "username": "alice", "payload": {"files": 3}}'

and look at the trail, and at the queue:

  . %[6]s
  psql -c 'SELECT * FROM log_events_with_user ORDER BY event_id DESC LIMIT 5'
  rabbitmqctl list_queues name messages consumers

`, data, api, p.consumer, p.databaseURL(p.Reader), p.amqpURL, shellWord(filepath.Join(home, "env")))
}

// dataOf says in words where the data are: in the home, unless the servers' users can't work there,
// or the servers run in docker.
func dataOf(home string, pair *devservers.Pair) string {
	switch folder := pair.Folder(); {
	case pair.Kind() == devservers.Docker:
		return "docker's volumes, and the passwords to them in " + home
	case folder != home && !strings.HasPrefix(folder, home+string(filepath.Separator)):
		return folder + ", and the passwords to them in " + home
	}
	return home
}

// shellWord quotes a path only if it has to.
func shellWord(s string) string {
	for _, r := range s {
		plain := r == '/' || r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !plain {
			return shellQuote(s)
		}
	}
	return s
}
