package main

// overview is the page for three in the morning: is it healthy, and if not, where to look.
func overview() board {
	return board{
		uid:   "trailpost-overview",
		title: "Trailpost overview",
		description: "Is the audit trail healthy? The first row says so; the rest says what kind of trouble it is. " +
			"Every panel that an alert looks at has its runbook in its corner.",
		variables: standard,
		rows: []row{
			{"Is it healthy?", []panel{
				{
					title: "Producers", width: 3, stat: true, unit: "none",
					help: "Producers that have a session with RabbitMQ, of those that Prometheus sees. Without any, clients are answered 503 " +
						"or not at all.",
					runbooks: []string{"TrailpostNoProducer", "TrailpostBrokerUnavailable"},
					queries:  []query{{on(`sum(trailpost_broker_up{} and on (job, instance) trailpost_memory_budget_bytes{}) or vector(0)`), ""}},
					limits:   []limit{{0, red}, {1, green}},
				},
				{
					title: "Consumers", width: 3, stat: true, unit: "none",
					help: "Consumers all of whose workers have a session with RabbitMQ. Without any, events are accepted, and wait on the " +
						"queue; nothing is lost.",
					runbooks: []string{"TrailpostNoConsumer", "TrailpostBrokerUnavailable"},
					queries:  []query{{on(`sum(trailpost_broker_up{} and on (job, instance) trailpost_database_up{}) or vector(0)`), ""}},
					limits:   []limit{{0, red}, {1, green}},
				},
				{
					title: "RabbitMQ", width: 3, stat: true, unit: "none",
					help:     "Whether RabbitMQ takes events, or blocks publishers because its memory or disk runs out.",
					runbooks: []string{"TrailpostBrokerBlocked", "TrailpostBrokerAlarm"},
					queries:  []query{{on(`max(trailpost_broker_blocked{}) + 2 * (max(trailpost_broker_up{}) == bool 0)`), ""}},
					words:    map[string]word{"0": {"takes events", green}, "1": {"blocks", red}, "2": {"away", red}, "3": {"away", red}},
					unknown:  "unknown",
				},
				{
					title: "Database", width: 3, stat: true, unit: "none",
					help: "Whether each consumer's last attempt to use PostgreSQL succeeded. While it is away events wait, and are stored " +
						"when it is back.",
					runbooks: []string{"TrailpostDatabaseUnavailable", "TrailpostStoreTrouble"},
					queries:  []query{{on(`min(trailpost_database_up{})`), ""}},
					words:    map[string]word{"0": {"fails", red}, "1": {"stores", green}},
					unknown:  "unknown",
				},
				{
					title: "Lag", width: 3, stat: true, unit: "s",
					help: "Age of the oldest event that a consumer holds and has not stored. Unknown, not 0, while messages are ready and nobody " +
						"holds any.",
					runbooks: []string{"TrailpostLagHigh", "TrailpostConsumerStalled"},
					queries:  []query{{lag, ""}},
					limits:   []limit{{60, yellow}, {900, red}},
					unknown:  "unknown",
				},
				{
					title: "Events waiting", width: 3, stat: true, unit: "short",
					help: "Events that are accepted and not stored, an estimate: messages, ready and in consumers' hands, times the events that a " +
						"message held in the last hour.",
					runbooks: []string{"TrailpostBacklogGrowing", "TrailpostQueueFillingUp", "TrailpostQueueFull"},
					queries:  []query{{waiting, ""}},
					limits:   []limit{{10_000, yellow}, {1_000_000, red}},
				},
				{
					title: "Dead letters", width: 3, stat: true, unit: "short",
					help:     "Messages in the dead-letter queue: events that could not be stored and wait for a person. None is right.",
					runbooks: []string{"TrailpostDeadLetters"},
					queries:  []query{{on(`sum(max by (queue) (trailpost_dead_letter_messages{}))`), ""}},
					limits:   []limit{{1, yellow}},
				},
				{
					title: "Certificates near their end", width: 3, stat: true, unit: "none",
					help:     "Certificate files of producers and consumers that end within 21 days. None is right, also where there is no TLS.",
					runbooks: []string{"TrailpostCertificateExpiring"},
					queries:  []query{{on(`count(min by (certificate) (trailpost_certificate_not_after_timestamp_seconds{}) - time() < 21 * 86400) or vector(0)`), ""}},
					limits:   []limit{{1, yellow}},
				},
			}},
			{"Events", []panel{
				{
					title: "Accepted and stored", width: 12, unit: "eps",
					help: "Events in (answered 202) and out (committed), a second. Apart for long, they are a backlog that grows or drains. " +
						"Duplicates are redeliveries and clients' retries, which is what they are for.",
					runbooks: []string{"TrailpostBacklogGrowing"},
					queries: []query{
						{on(`sum(rate(trailpost_events_accepted_total{}[]))`), "accepted"},
						{on(`sum(rate(trailpost_events_stored_total{}[]))`), "stored"},
						{on(`sum(rate(trailpost_events_duplicate_total{}[]))`), "duplicate"},
					},
				},
				{
					title: "Answers", width: 6, unit: "reqps",
					help:     "Requests to log events, by their answers: 2xx accepted, 4xx the client's mistakes, 5xx ours.",
					runbooks: []string{"TrailpostAcceptanceBurn"},
					queries:  []query{{on(`sum by (code) (rate(trailpost_http_request_duration_seconds_count{,route=~"/log|/log/batch"}[]))`), "{{code}}"}},
					stacked:  true,
				},
				{
					title: "Refused for our reasons", width: 6, unit: "percentunit",
					help:     "5xx among the requests that were not the client's mistake. The objective is 0.1 % in 30 days.",
					runbooks: []string{"TrailpostAcceptanceBurn"},
					queries: []query{{on(`(sum(rate(trailpost_http_request_duration_seconds_count{,route=~"/log|/log/batch",code="5xx"}[])) or vector(0))` +
						` / (sum(rate(trailpost_http_request_duration_seconds_count{,route=~"/log|/log/batch",code=~"2xx|5xx"}[])) > 0) or vector(0)`), "refused"}},
					limits: []limit{{0.001, yellow}, {0.0144, red}},
				},
				{
					title: "Not accepted", width: 12, unit: "eps",
					help: "Events that were not answered 202, by reason. not_confirmed and unavailable are RabbitMQ's doing, busy is ours; the " +
						"others are the clients'.",
					runbooks: []string{"TrailpostPublishFailing"},
					queries:  []query{{on(`sum by (reason) (rate(trailpost_events_rejected_total{}[]))`), "{{reason}}"}},
				},
				{
					title: "Dead-lettered", width: 6, unit: "eps",
					help:     "Events that consumers put aside, by reason. RabbitMQ's own dead letters are on the page of the servers.",
					runbooks: []string{"TrailpostDeadLetters"},
					queries:  []query{{on(`sum by (reason) (rate(trailpost_events_dead_lettered_total{}[]))`), "{{reason}}"}},
				},
				{
					title: "Failed attempts", width: 6, unit: "ops",
					help:     "Attempts to store or to dead-letter that failed and are tried again: transient faults pass by themselves, trouble needs a person.",
					runbooks: []string{"TrailpostStoreTrouble", "TrailpostDatabaseUnavailable"},
					queries:  []query{{on(`sum by (operation, class) (rate(trailpost_retries_total{}[]))`), "{{operation}}: {{class}}"}},
				},
			}},
			{"Queue and lag", []panel{
				{
					title: "Queue", width: 8, unit: "short",
					help: "Messages: ready, as RabbitMQ counts them, in consumers' hands, and dead letters. A message holds one or more events.",
					runbooks: []string{
						"TrailpostBacklogGrowing", "TrailpostQueueFillingUp", "TrailpostConsumerStalled",
					},
					queries: []query{
						{on(`max by (queue) (trailpost_queue_messages{,state="ready"})`), "{{queue}}: ready"},
						{on(`sum by (queue) (trailpost_queue_messages{,state="unacked"})`), "{{queue}}: unacked"},
						{on(`max by (queue) (trailpost_dead_letter_messages{})`), "{{queue}}"},
					},
				},
				{
					title: "Events waiting", width: 8, unit: "short",
					help:     "The estimate of the first row, over time.",
					runbooks: []string{"TrailpostBacklogGrowing"},
					queries:  []query{{waiting, "waiting"}},
				},
				{
					title: "Lag", width: 8, unit: "s",
					help: "Age of the oldest unacked event, which is unknown while nobody holds any and messages wait, and the time from acceptance to " +
						"commit of what was stored. The objective: 99.9 % within a minute.",
					runbooks: []string{"TrailpostLagHigh", "TrailpostFreshnessBurn"},
					queries: []query{
						{lag, "oldest unacked"},
						{on(`histogram_quantile(0.5, sum by (le) (rate(trailpost_event_lag_seconds_bucket{}[])))`), "stored, median"},
						{on(`histogram_quantile(0.99, sum by (le) (rate(trailpost_event_lag_seconds_bucket{}[])))`), "stored, 99 %"},
					},
					limits: []limit{{60, red}},
				},
			}},
			{"Loss ledger, last hour", []panel{
				{
					title: "Published and settled", width: 16, stat: true, unit: "short",
					help: "Events that RabbitMQ may hold (written to it, less what it returned or refused), and what became of them. Counters begin " +
						"anew with their pods, and Prometheus estimates: the exact judge compares what clients were told with the rows.",
					runbooks: []string{"TrailpostLossLedger"},
					queries: []query{
						{published, "published"},
						{on(`sum(increase(trailpost_events_stored_total{}[1h]))`), "stored"},
						{on(`sum(increase(trailpost_events_duplicate_total{}[1h]))`), "duplicate"},
						{on(`sum(increase(trailpost_events_dead_lettered_total{}[1h]))`), "dead-lettered"},
					},
				},
				{
					title: "Unaccounted for", width: 8, stat: true, unit: "percentunit",
					help: "The share of what was published that is neither stored, nor a duplicate, nor dead-lettered. Around 0 is right, give or take the " +
						"estimates'; the alert looks closer. Unknown while messages wait, since they are not settled yet.",
					runbooks: []string{"TrailpostLossLedger"},
					queries: []query{{on(`(` + published + ` - ` + settled + `) / (` + published + ` > 0)` +
						` unless on () (max(trailpost_queue_messages{,state="ready"}) > 0 or sum(trailpost_queue_messages{,state="unacked"}) > 0)`), ""}},
					limits:  []limit{{0.005, yellow}, {0.02, red}},
					unknown: "events wait",
				},
			}},
		},
	}
}

// What more than one panel asks.
var (
	// What nobody knows is not 0: no unacked event tells nothing while messages wait.
	lag = on(`max(trailpost_oldest_event_in_hand_seconds{})` +
		` unless on () (max(trailpost_queue_messages{,state="ready"}) > 0 and on () sum(trailpost_queue_messages{,state="unacked"}) == 0)`)
	// Each replica knows the ready messages, so the greatest count; and its own unacked ones, so their sum. Without a
	// consumer there is none. 64 events a message until some were published.
	waiting = on(`(sum(max by (queue) (trailpost_queue_messages{,state="ready"})) + (sum(trailpost_queue_messages{,state="unacked"}) or vector(0)))` +
		` * on () (sum(increase(trailpost_message_events_sum{,direction="published"}[1h]))` +
		` / (sum(increase(trailpost_message_events_count{,direction="published"}[1h])) > 0) or vector(64))`)
	published = on(`(sum(increase(trailpost_events_published_total{}[1h])) - sum(increase(trailpost_events_unconfirmed_total{,cause=~"returned|nacked"}[1h])))`)
	settled   = on(`(sum(increase(trailpost_events_stored_total{}[1h])) + sum(increase(trailpost_events_duplicate_total{}[1h]))` +
		` + sum(increase(trailpost_events_dead_lettered_total{}[1h])))`)
)
