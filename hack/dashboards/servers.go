package main

// servers is RabbitMQ by its own metrics, those that 3.10 and 4.3 both have, and
// PostgreSQL as consumers see it.
func servers() board {
	return board{
		uid:   "trailpost-servers",
		title: "Trailpost broker and database",
		description: "RabbitMQ, by its own metrics (plugin rabbitmq_prometheus), and PostgreSQL, as the consumers see it. RabbitMQ's are of " +
			"all its queues, in whatever vhost.",
		variables: append(append([]variable{}, standard...),
			variable{name: "broker_namespace", label: "RabbitMQ's namespace", query: `label_values(rabbitmq_build_info, namespace)`},
			variable{name: "broker", label: "RabbitMQ's job", query: `label_values(rabbitmq_build_info{namespace="$broker_namespace"}, job)`, all: true}),
		rows: []row{
			{"RabbitMQ", []panel{
				{
					title: "Nodes", width: 4, stat: true, unit: "none",
					help: "Nodes that Prometheus sees, by version. A quorum queue needs a majority of its three.",
					runbooks: []string{
						"TrailpostBrokerNoMajority", "TrailpostBrokerUnavailable",
					},
					queries: []query{{onBroker(`count by (rabbitmq_version) (rabbitmq_build_info{})`), "{{rabbitmq_version}}"}},
				},
				{
					title: "Memory alarm", width: 4, stat: true, unit: "none",
					help:     "Nodes with too little memory. One is enough to block all publishers of the cluster.",
					runbooks: []string{"TrailpostBrokerAlarm"},
					queries:  []query{{onBroker(`sum(rabbitmq_alarms_memory_used_watermark{})`), ""}},
					limits:   []limit{{1, red}},
				},
				{
					title: "Disk alarm", width: 4, stat: true, unit: "none",
					help:     "Nodes with too little free disk. One is enough to block all publishers of the cluster.",
					runbooks: []string{"TrailpostBrokerAlarm", "TrailpostBrokerDiskLow"},
					queries:  []query{{onBroker(`sum(rabbitmq_alarms_free_disk_space_watermark{})`), ""}},
					limits:   []limit{{1, red}},
				},
				{
					title: "Messages on all queues", width: 4, stat: true, unit: "short",
					help:    "Ready and unacknowledged messages, dead letters included.",
					queries: []query{{onBroker(`sum(rabbitmq_queue_messages{})`), ""}},
				},
				{
					title: "Unroutable in 1 h", width: 4, stat: true, unit: "short",
					help:     "Messages that were returned or dropped since their queue did not exist. None is right.",
					runbooks: []string{"TrailpostUnroutableMessages"},
					queries: []query{{onBroker(`sum(increase(rabbitmq_global_messages_unroutable_returned_total{}[1h]))` +
						` + sum(increase(rabbitmq_global_messages_unroutable_dropped_total{}[1h]))`), ""}},
					limits: []limit{{1, yellow}},
				},
				{
					title: "Failed logins in 1 h", width: 4, stat: true, unit: "short",
					help:    "Attempts to log in that RabbitMQ refused: a password that was changed on one side.",
					queries: []query{{onBroker(`sum(increase(rabbitmq_auth_attempts_failed_total{}[1h]))`), ""}},
					limits:  []limit{{1, yellow}},
				},
				{
					title: "Messages", width: 8, unit: "short",
					help:     "Messages of all queues.",
					runbooks: []string{"TrailpostBacklogGrowing"},
					queries: []query{
						{onBroker(`sum(rabbitmq_queue_messages_ready{})`), "ready"},
						{onBroker(`sum(rabbitmq_queue_messages_unacked{})`), "unacknowledged"},
					},
				},
				{
					title: "Bytes on the queues", width: 8, unit: "bytes",
					help:     "Bodies of all messages; what a max-length-bytes policy limits.",
					runbooks: []string{"TrailpostQueueFillingUp"},
					queries:  []query{{onBroker(`sum(rabbitmq_queue_messages_bytes{})`), "bytes"}},
				},
				{
					title: "Message rates", width: 8, unit: "mps",
					help: "Messages in, confirmed, out and acknowledged. Redelivered ones were in the hands of a consumer that was lost.",
					queries: []query{
						{onBroker(`sum(rate(rabbitmq_global_messages_received_total{}[]))`), "received"},
						{onBroker(`sum(rate(rabbitmq_global_messages_confirmed_total{}[]))`), "confirmed"},
						{onBroker(`sum(rate(rabbitmq_global_messages_delivered_total{}[]))`), "delivered"},
						{onBroker(`sum(rate(rabbitmq_global_messages_acknowledged_total{}[]))`), "acknowledged"},
						{onBroker(`sum(rate(rabbitmq_global_messages_redelivered_total{}[]))`), "redelivered"},
					},
				},
				{
					title: "Dead letters by RabbitMQ", width: 8, unit: "mps",
					help:     "Messages that RabbitMQ itself dead-lettered: they came back more often than the delivery limit allows.",
					runbooks: []string{"TrailpostDeadLetters"},
					queries: []query{
						{onBroker(`sum(rate(rabbitmq_global_messages_dead_lettered_delivery_limit_total{}[]))`), "delivery limit"},
						{onBroker(`sum(rate(rabbitmq_global_messages_dead_lettered_rejected_total{}[]))`), "rejected"},
						{onBroker(`sum(rate(rabbitmq_global_messages_dead_lettered_confirmed_total{}[]))`), "arrived in a dead-letter queue"},
					},
				},
				{
					title: "Memory", width: 8, unit: "percentunit",
					help:     "Memory of each node, of its limit; at 1 it blocks publishers.",
					runbooks: []string{"TrailpostBrokerAlarm"},
					queries:  []query{{onBroker(`max ` + replica + ` (rabbitmq_process_resident_memory_bytes{} / rabbitmq_resident_memory_limit_bytes{})`), replicaName}},
					limits:   []limit{{0.8, yellow}, {1, red}},
				},
				{
					title: "Free disk", width: 8, unit: "bytes",
					help:     "Free space of each node's volume, and below what it blocks publishers.",
					runbooks: []string{"TrailpostBrokerDiskLow"},
					queries: []query{
						{onBroker(`min ` + replica + ` (rabbitmq_disk_space_available_bytes{})`), replicaName},
						{onBroker(`max(rabbitmq_disk_space_available_limit_bytes{})`), "limit"},
					},
				},
				{
					title: "Connections, channels, consumers", width: 8, unit: "short",
					help:     "A producer has two connections, a consumer one a worker and one or two more.",
					runbooks: []string{"TrailpostNoConsumer"},
					queries: []query{
						{onBroker(`sum(rabbitmq_connections{})`), "connections"},
						{onBroker(`sum(rabbitmq_channels{})`), "channels"},
						{onBroker(`sum(rabbitmq_consumers{})`), "consumers"},
					},
				},
				{
					title: "Connections opened and closed", width: 8, unit: "cps",
					help: "Many are clients that come and go, or can't stay.",
					queries: []query{
						{onBroker(`sum(rate(rabbitmq_connections_opened_total{}[]))`), "opened"},
						{onBroker(`sum(rate(rabbitmq_connections_closed_total{}[]))`), "closed"},
					},
				},
				{
					title: "File descriptors", width: 8, unit: "percentunit",
					help:    "Open file descriptors of each node, of its limit; without any left it takes no connections.",
					queries: []query{{onBroker(`max ` + replica + ` (rabbitmq_process_open_fds{} / rabbitmq_process_max_fds{})`), replicaName}},
					limits:  []limit{{0.8, yellow}, {1, red}},
				},
			}},
			{"PostgreSQL", []panel{
				{
					title: "Database", width: 4, stat: true, unit: "none",
					help:     "Whether each consumer's last attempt to use PostgreSQL succeeded.",
					runbooks: []string{"TrailpostDatabaseUnavailable"},
					queries:  []query{{on(`min(trailpost_database_up{})`), ""}},
					words:    map[string]word{"0": {"fails", red}, "1": {"stores", green}},
					unknown:  "unknown",
				},
				{
					title: "Size", width: 4, stat: true, unit: "bytes",
					help:     "The database with its indexes.",
					runbooks: []string{"TrailpostVolumeFillingUp"},
					queries:  []query{{on(`max(trailpost_database_size_bytes{})`), ""}},
				},
				{
					title: "Growth a day", width: 4, stat: true, unit: "bytes",
					help:     "By the last 6 hours.",
					runbooks: []string{"TrailpostVolumeFillingUp"},
					queries:  []query{{on(`max(deriv(trailpost_database_size_bytes{}[6h])) * 86400`), ""}},
				},
				{
					title: "Partitions end in", width: 4, stat: true, unit: "s",
					help:     "Until when the trail has monthly partitions without a gap. Consumers keep three months ahead.",
					runbooks: []string{"TrailpostPartitionsRunningOut"},
					queries:  []query{{on(`max(trailpost_partitions_end_timestamp_seconds{}) - time()`), ""}},
					limits:   []limit{{0, red}, {3 * 86400, yellow}, {32 * 86400, green}},
				},
				{
					title: "Rows in the default partition", width: 4, stat: true, unit: "short",
					help:     "Rows whose month had no partition when they came. None is right.",
					runbooks: []string{"TrailpostDefaultPartitionNotEmpty"},
					queries:  []query{{on(`max(trailpost_default_partition_rows{})`), ""}},
					limits:   []limit{{1, yellow}},
				},
				{
					title: "Failed attempts in 1 h", width: 4, stat: true, unit: "short",
					help:     "Attempts to store that failed and were tried again.",
					runbooks: []string{"TrailpostStoreTrouble"},
					queries:  []query{{on(`sum(increase(trailpost_retries_total{,operation="store"}[1h]))`), ""}},
					limits:   []limit{{1, yellow}},
				},
				{
					title: "Size", width: 8, unit: "bytes",
					help:     "The database with its indexes, over time.",
					runbooks: []string{"TrailpostVolumeFillingUp"},
					queries:  []query{{on(`max(trailpost_database_size_bytes{})`), "size"}},
				},
				{
					title: "Rows stored", width: 8, unit: "eps",
					help: "New rows, and transactions, a second.",
					queries: []query{
						{on(`sum(rate(trailpost_events_stored_total{}[]))`), "rows"},
						{on(`sum(rate(trailpost_batch_store_seconds_count{}[]))`), "transactions"},
					},
				},
				{
					title: "Time to store a batch", width: 8, unit: "s",
					help: "Commit included.",
					queries: []query{
						{on(`histogram_quantile(0.5, sum by (le) (rate(trailpost_batch_store_seconds_bucket{}[])))`), "median"},
						{on(`histogram_quantile(0.99, sum by (le) (rate(trailpost_batch_store_seconds_bucket{}[])))`), "99 %"},
					},
					limits: []limit{{1, yellow}, {10, red}},
				},
			}},
		},
	}
}
