{{/* The producer's environment as a map. */}}
{{- define "trailpost.producer.settings" -}}
ENVIRONMENT: {{ .Values.environment | quote }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
{{ include "trailpost.rabbitmq.settings" (dict "root" . "component" "producer") }}
{{ include "trailpost.identity.settings" . }}
RABBITMQ_EVENTS_PER_MESSAGE: {{ .Values.producer.eventsPerMessage | quote }}
RABBITMQ_CONFIRM_TIMEOUT: {{ printf "%vs" .Values.producer.confirmTimeoutSeconds | quote }}
PRODUCER_PORT: "8001"
PRODUCER_METRICS_PORT: "8002"
{{- if .Values.producer.apiKeys.enabled }}
PRODUCER_API_KEYS_FILE: /etc/trailpost/api-keys/keys
{{- end }}
PRODUCER_RATE_LIMIT: {{ .Values.producer.rateLimit.eventsPerSecond | int64 | quote }}
PRODUCER_RATE_BURST: {{ .Values.producer.rateLimit.burst | int64 | quote }}
{{- with .Values.producer.trustedProxies }}
PRODUCER_TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
{{- with .Values.producer.corsOrigins }}
PRODUCER_CORS_ORIGINS: {{ join "," . | quote }}
{{- end }}
PRODUCER_IDLE_TIMEOUT: {{ .Values.producer.idleTimeout | quote }}
PRODUCER_MEMORY_BUDGET: {{ .Values.producer.memoryBudget | quote }}
PRODUCER_REQUEST_TIMEOUT: {{ printf "%vs" .Values.producer.requestTimeoutSeconds | quote }}
PRODUCER_SHUTDOWN_TIMEOUT: {{ printf "%vs" .Values.producer.shutdownTimeoutSeconds | quote }}
EVENT_ID_MAX_AGE: {{ .Values.producer.eventIdMaxAge | quote }}
{{- if include "trailpost.producer.tlsSecret" . }}
PRODUCER_TLS_CERT_FILE: /etc/trailpost/tls/tls.crt
PRODUCER_TLS_KEY_FILE: /etc/trailpost/tls/tls.key
{{- end }}
{{- if .Values.tracing.endpoint }}
{{- include "trailpost.tracing.settings" . }}
{{- end }}
{{- end -}}

{{/* The Secret of the server's certificate, or "" where it speaks plain HTTP. */}}
{{- define "trailpost.producer.tlsSecret" -}}
{{- if .Values.producer.tls.existingSecret -}}
{{- .Values.producer.tls.existingSecret -}}
{{- else if .Values.global.tls.enabled -}}
{{- include "trailpost.fullname" . }}-producer-tls
{{- end -}}
{{- end -}}

{{- define "trailpost.producer.scheme" -}}
{{- include "trailpost.producer.tlsSecret" . | empty | ternary "http" "https" -}}
{{- end -}}

{{- define "trailpost.producer.url" -}}
{{ include "trailpost.producer.scheme" . }}://{{ include "trailpost.fullname" . }}-producer:{{ .Values.producer.service.port }}
{{- end -}}
