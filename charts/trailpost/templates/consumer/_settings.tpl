{{/* The consumer's environment as a map; its init container has the same. */}}
{{- define "trailpost.consumer.settings" -}}
ENVIRONMENT: {{ .Values.environment | quote }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
{{ include "trailpost.rabbitmq.settings" (dict "root" . "component" "consumer") }}
{{ include "trailpost.identity.settings" . }}
{{ include "trailpost.database.settings" . }}
DATABASE_USER: {{ .Values.database.users.writer | quote }}
DATABASE_PASSWORD_FILE: /etc/trailpost/database/writer-password
CONSUMER_PORT: "8002"
CONSUMER_WORKERS: {{ .Values.consumer.workers | quote }}
CONSUMER_BATCH_SIZE: {{ .Values.consumer.batchSize | quote }}
CONSUMER_LINGER: {{ printf "%vms" .Values.consumer.lingerMilliseconds | quote }}
CONSUMER_RETRY_ATTEMPTS: {{ .Values.consumer.retryAttempts | quote }}
CONSUMER_RETRY_DELAY: {{ printf "%vs" .Values.consumer.retryDelaySeconds | quote }}
CONSUMER_SHUTDOWN_TIMEOUT: {{ printf "%vs" .Values.consumer.shutdownTimeoutSeconds | quote }}
{{- if .Values.tracing.endpoint }}
{{- include "trailpost.tracing.settings" . }}
{{- end }}
{{- end -}}

{{- define "trailpost.consumer.mounts" -}}
{{ include "trailpost.rabbitmq.mount" . }}
{{ include "trailpost.identity.mount" . }}
{{ include "trailpost.database.mount" . }}
{{- if include "trailpost.tracing.files" . }}
{{ include "trailpost.tracing.mount" . }}
{{- end }}
{{- with .Values.consumer.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
