{{/*
A memory quantity of Kubernetes in bytes. Millibytes, which Kubernetes would take, are
not memory that anyone asks for.
*/}}
{{- define "rabbitmq.bytes" -}}
{{- $quantity := toString . -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$" $quantity) -}}
{{- fail (printf "resources.limits.memory: %q is not a number with k, M, G, T, Ki, Mi, Gi or Ti" $quantity) -}}
{{- end -}}
{{- $factors := dict "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "" 1 -}}
{{- $unit := regexFind "[A-Za-z]+$" $quantity -}}
{{- mulf (float64 (trimSuffix $unit $quantity)) (float64 (get $factors $unit)) | int64 -}}
{{- end -}}

{{/* rabbitmq.conf */}}
{{- define "rabbitmq.conf" -}}
# Nobody comes in without a password.
loopback_users = none
anonymous_login_user = none

# The first node makes the cluster, the others join it; names tell who is the first.
cluster_formation.peer_discovery_backend = k8s
cluster_formation.target_cluster_size_hint = {{ .Values.replicas }}

# The definitions below are read by the first node while it is alone. Its queues get
# their other members when the other nodes have come.
quorum_queue.continuous_membership_reconciliation.enabled = true
quorum_queue.continuous_membership_reconciliation.target_group_size = {{ .Values.replicas }}
quorum_queue.continuous_membership_reconciliation.auto_remove = false
quorum_queue.continuous_membership_reconciliation.interval = 60000
queue_leader_locator = balanced

# Queues, users, rights and policies, at each start.
load_definitions = /run/rabbitmq/definitions.json

total_memory_available_override_value = {{ include "rabbitmq.bytes" .Values.resources.limits.memory }}
vm_memory_high_watermark.relative = {{ .Values.memoryHighWatermark }}
disk_free_limit.absolute = {{ .Values.diskFreeLimit }}
raft.wal_max_size_bytes = {{ int64 .Values.walMaxSizeBytes }}

log.console = true
log.console.level = {{ .Values.logLevel }}
log.file = false
{{ if include "rabbitmq.tls" . }}
{{ include "rabbitmq.tlsConf" . }}
{{ end -}}
{{ if not .Values.management.enabled -}}
{{ else if include "rabbitmq.tls" . }}
management.ssl.port = 15671
management.ssl.certfile = /etc/rabbitmq-tls/tls.crt
management.ssl.keyfile = /etc/rabbitmq-tls/tls.key
management.ssl.cacertfile = /etc/rabbitmq-tls/ca.crt
{{ else }}
management.tcp.port = 15672
{{ end -}}
{{ if .Values.metrics.enabled }}
prometheus.tcp.port = 15692
{{ end -}}
{{- end -}}

{{- define "rabbitmq.plugins" -}}
{{- $plugins := list "rabbitmq_peer_discovery_k8s" -}}
{{- if .Values.management.enabled }}{{ $plugins = append $plugins "rabbitmq_management" }}{{ end -}}
{{- if .Values.metrics.enabled }}{{ $plugins = append $plugins "rabbitmq_prometheus" }}{{ end -}}
[{{ concat $plugins .Values.extraPlugins | uniq | join "," }}].
{{- end -}}

{{/* The files of the ConfigMap; pods bear the hash of them, since a node reads them when it starts. */}}
{{- define "rabbitmq.configData" -}}
10-trailpost.conf: |
  {{- include "rabbitmq.conf" . | nindent 2 }}
{{- with .Values.extraConfig }}
90-extra.conf: |
  {{- . | nindent 2 }}
{{- end }}
enabled_plugins: |
  {{- include "rabbitmq.plugins" . | nindent 2 }}
definitions.json: |
  {{- include "rabbitmq.definitions" . | nindent 2 }}
prepare.sh: |
  {{- .Files.Get "files/prepare.sh" | nindent 2 }}
pre-stop.sh: |
  {{- .Files.Get "files/pre-stop.sh" | nindent 2 }}
{{- end -}}
