package main

// replica is by what panels part replicas, and replicaName what they call them: by their
// pods' names where there are pods.
const (
	replica     = `by (pod, instance)`
	replicaName = "{{pod}} {{instance}}"
)

// pipeline is what the producers and consumers do, one by one.
func pipeline() board {
	return board{
		uid:         "trailpost-pipeline",
		title:       "Trailpost pipeline detail",
		description: "Producers and consumers, replica by replica: where time goes, and who does how much.",
		variables:   standard,
		rows: []row{
			{"Producers", []panel{
				{
					title: "Accepted", width: 8, unit: "eps",
					help:    "Events that each producer answered 202, a second.",
					queries: []query{{on(`sum ` + replica + ` (rate(trailpost_events_accepted_total{}[]))`), replicaName}},
					stacked: true,
				},
				{
					title: "Requests", width: 8, unit: "reqps",
					help:     "Requests by route and class of answer.",
					runbooks: []string{"TrailpostAcceptanceBurn"},
					queries:  []query{{on(`sum by (route, code) (rate(trailpost_http_request_duration_seconds_count{,route=~"/log|/log/batch"}[]))`), "{{route}} {{code}}"}},
				},
				{
					title: "Answer time", width: 8, unit: "s",
					help: "From a request's headers to the end of its answer, of accepted requests. Most of it is the wait for RabbitMQ's confirm.",
					queries: []query{
						{on(`histogram_quantile(0.5, sum by (route, le) (rate(trailpost_http_request_duration_seconds_bucket{,route=~"/log|/log/batch",code="2xx"}[])))`), "{{route}} median"},
						{on(`histogram_quantile(0.99, sum by (route, le) (rate(trailpost_http_request_duration_seconds_bucket{,route=~"/log|/log/batch",code="2xx"}[])))`), "{{route}} 99 %"},
					},
				},
				{
					title: "Confirm latency", width: 8, unit: "s",
					help: "From publishing a message to RabbitMQ's confirm. A quorum queue confirms when a majority has it on disk, so this is disks and " +
						"the network between nodes. After RABBITMQ_CONFIRM_TIMEOUT (10 s) it is an error.",
					runbooks: []string{"TrailpostPublishFailing"},
					queries: []query{
						{on(`histogram_quantile(0.5, sum by (le) (rate(trailpost_publish_confirm_seconds_bucket{}[])))`), "median"},
						{on(`histogram_quantile(0.95, sum by (le) (rate(trailpost_publish_confirm_seconds_bucket{}[])))`), "95 %"},
						{on(`histogram_quantile(0.99, sum by (le) (rate(trailpost_publish_confirm_seconds_bucket{}[])))`), "99 %"},
					},
					limits: []limit{{1, yellow}, {10, red}},
				},
				{
					title: "Confirm latency, 99 %, by producer", width: 8, unit: "s",
					help:    "One that stands out has a bad network or no CPU.",
					queries: []query{{on(`histogram_quantile(0.99, sum by (pod, instance, le) (rate(trailpost_publish_confirm_seconds_bucket{}[])))`), replicaName}},
					limits:  []limit{{1, yellow}, {10, red}},
				},
				{
					title: "Messages in flight", width: 8, unit: "short",
					help:    "Messages that wait for their confirms. At 256 a producer publishes no more until one comes: RabbitMQ is the bottleneck.",
					queries: []query{{on(`sum ` + replica + ` (trailpost_publish_in_flight_messages{})`), replicaName}},
					limits:  []limit{{256, yellow}},
				},
				{
					title: "Events a message, published", width: 8, unit: "short",
					help: "How many events shared a message. 1 is an idle service; up to 64 (RABBITMQ_EVENTS_PER_MESSAGE) share one under load.",
					queries: []query{
						{on(`sum(rate(trailpost_message_events_sum{,direction="published"}[])) / sum(rate(trailpost_message_events_count{,direction="published"}[]))`), "mean"},
						{on(`histogram_quantile(0.99, sum by (le) (rate(trailpost_message_events_bucket{,direction="published"}[])))`), "99 %"},
					},
				},
				{
					title: "Not confirmed", width: 8, unit: "eps",
					help:     "Events that were published and not confirmed, by cause. All but returned may be on the queue all the same.",
					runbooks: []string{"TrailpostPublishFailing", "TrailpostUnroutableMessages"},
					queries:  []query{{on(`sum by (cause) (rate(trailpost_events_unconfirmed_total{}[]))`), "{{cause}}"}},
				},
				{
					title: "Memory budget in use", width: 8, unit: "percentunit",
					help:    "Request bodies in memory, of PRODUCER_MEMORY_BUDGET. When it is used up, requests are answered 503 (busy).",
					queries: []query{{on(`max ` + replica + ` (trailpost_memory_budget_used_bytes{} / trailpost_memory_budget_bytes{})`), replicaName}},
					limits:  []limit{{0.8, yellow}, {1, red}},
					most:    1,
				},
				{
					title: "Unknown to Trailpost", width: 24, unit: "cps",
					help: "Accepted events of a type that is not documented, and members that were ignored: a client's spelling mistakes, mostly. " +
						"The log names some.",
					queries: []query{
						{on(`sum(rate(trailpost_events_unknown_type_total{}[]))`), "unknown event types"},
						{on(`sum(rate(trailpost_ignored_members_total{}[]))`), "ignored members"},
					},
				},
			}},
			{"Consumers", []panel{
				{
					title: "Stored", width: 8, unit: "eps",
					help:    "Events that each consumer committed as new rows, a second.",
					queries: []query{{on(`sum ` + replica + ` (rate(trailpost_events_stored_total{}[]))`), replicaName}},
					stacked: true,
				},
				{
					title: "Events a batch", width: 8, unit: "short",
					help: "Events that were stored in one transaction. Few are an idle service; CONSUMER_BATCH_SIZE (1,000) at most.",
					queries: []query{
						{on(`sum(rate(trailpost_batch_events_sum{}[])) / sum(rate(trailpost_batch_events_count{}[]))`), "mean"},
						{on(`histogram_quantile(0.5, sum by (le) (rate(trailpost_batch_events_bucket{}[])))`), "median"},
						{on(`histogram_quantile(0.99, sum by (le) (rate(trailpost_batch_events_bucket{}[])))`), "99 %"},
					},
				},
				{
					title: "Events a message, consumed", width: 8, unit: "short",
					help:    "Events of the messages that came. Far below what is published only if another program publishes, too.",
					queries: []query{{on(`sum(rate(trailpost_message_events_sum{,direction="consumed"}[])) / sum(rate(trailpost_message_events_count{,direction="consumed"}[]))`), "mean"}},
				},
				{
					title: "Database time of a batch", width: 8, unit: "s",
					help:     "Time to store a batch, commit included.",
					runbooks: []string{"TrailpostLagHigh"},
					queries: []query{
						{on(`histogram_quantile(0.5, sum by (le) (rate(trailpost_batch_store_seconds_bucket{}[])))`), "median"},
						{on(`histogram_quantile(0.95, sum by (le) (rate(trailpost_batch_store_seconds_bucket{}[])))`), "95 %"},
						{on(`histogram_quantile(0.99, sum by (le) (rate(trailpost_batch_store_seconds_bucket{}[])))`), "99 %"},
					},
					limits: []limit{{1, yellow}, {10, red}},
				},
				{
					title: "Database time of a batch, 99 %, by consumer", width: 8, unit: "s",
					help:    "One that stands out has a bad network or no CPU.",
					queries: []query{{on(`histogram_quantile(0.99, sum by (pod, instance, le) (rate(trailpost_batch_store_seconds_bucket{}[])))`), replicaName}},
					limits:  []limit{{1, yellow}, {10, red}},
				},
				{
					title: "Workers that are storing", width: 8, unit: "short",
					help: "How many of each consumer's workers (CONSUMER_WORKERS, 2) wait for the database, on average. When all always do, more consumers " +
						"help as long as the database has room.",
					queries: []query{{on(`sum ` + replica + ` (rate(trailpost_batch_store_seconds_sum{}[]))`), replicaName}},
				},
				{
					title: "Oldest unacked event", width: 8, unit: "s",
					help:     "Age of the oldest event that each consumer holds and has not settled. It rises while a batch can't be stored.",
					runbooks: []string{"TrailpostLagHigh"},
					queries:  []query{{on(`max ` + replica + ` (trailpost_oldest_event_in_hand_seconds{})`), replicaName}},
					limits:   []limit{{60, yellow}, {900, red}},
				},
				{
					title: "Unacked messages", width: 8, unit: "short",
					help:    "Messages that each consumer has taken and not acknowledged.",
					queries: []query{{on(`sum ` + replica + ` (trailpost_queue_messages{,state="unacked"})`), replicaName}},
				},
				{
					title: "Retries", width: 8, unit: "ops",
					help:     "Attempts that failed and are tried again, by consumer.",
					runbooks: []string{"TrailpostStoreTrouble", "TrailpostDatabaseUnavailable"},
					queries:  []query{{on(`sum by (pod, instance, operation, class) (rate(trailpost_retries_total{}[]))`), replicaName + " {{operation}}: {{class}}"}},
				},
				{
					title: "Sessions opened", width: 12, unit: "short",
					help:     "Sessions that each consumer opened with RabbitMQ within 10 minutes. After the start there should be none: each is a connection that was lost.",
					runbooks: []string{"TrailpostBrokerUnavailable"},
					queries:  []query{{on(`sum ` + replica + ` (increase(trailpost_broker_sessions_total{}[10m]))`), replicaName}},
				},
				{
					title: "Sessions with RabbitMQ", width: 12, unit: "short",
					help:     "1 while a process has its sessions, a consumer those of all its workers.",
					runbooks: []string{"TrailpostBrokerUnavailable"},
					queries:  []query{{on(`min ` + replica + ` (trailpost_broker_up{})`), replicaName}},
					most:     1,
				},
			}},
			{"Processes", []panel{
				{
					title: "CPU", width: 8, unit: "short",
					help:    "Cores in use.",
					queries: []query{{on(`sum ` + replica + ` (rate(process_cpu_seconds_total{}[]))`), replicaName}},
				},
				{
					title: "Memory", width: 8, unit: "bytes",
					help:    "Resident memory.",
					queries: []query{{on(`sum ` + replica + ` (process_resident_memory_bytes{})`), replicaName}},
				},
				{
					title: "Goroutines", width: 8, unit: "short",
					help:    "A course that only rises is a leak.",
					queries: []query{{on(`sum ` + replica + ` (go_goroutines{})`), replicaName}},
				},
				{
					title: "Age of the processes", width: 12, unit: "s",
					help:    "Time since each process started. A saw is a crash loop.",
					queries: []query{{on(`max ` + replica + ` (time() - process_start_time_seconds{})`), replicaName}},
				},
				{
					title: "Builds", width: 12, unit: "short",
					help:    "How many processes run which build. More than one outside of an upgrade is an upgrade that got stuck.",
					queries: []query{{on(`count by (version, revision) (trailpost_build_info{})`), "{{version}} {{revision}}"}},
				},
			}},
		},
	}
}
