{{/*
The broker: the subchart, or someone else's. Settings are a map of environment
variables; passwords and certificates are files.
*/}}

{{- define "trailpost.rabbitmq.host" -}}
{{- if .Values.rabbitmq.enabled -}}
{{- include "rabbitmq.fullname" .Subcharts.rabbitmq -}}
{{- else -}}
{{- .Values.externalRabbitmq.host -}}
{{- end -}}
{{- end -}}

{{- define "trailpost.rabbitmq.port" -}}
{{- if .Values.rabbitmq.enabled -}}
{{- include "rabbitmq.amqpPort" .Subcharts.rabbitmq -}}
{{- else -}}
{{- default (.Values.externalRabbitmq.tls.enabled | ternary 5671 5672) .Values.externalRabbitmq.port -}}
{{- end -}}
{{- end -}}

{{/* Where the services ask which policies the queues are under, or "". */}}
{{- define "trailpost.rabbitmq.managementUrl" -}}
{{- if not .Values.rabbitmq.enabled -}}
{{- default "" .Values.externalRabbitmq.managementUrl -}}
{{- else if .Values.rabbitmq.management.enabled -}}
{{- $tls := include "rabbitmq.tls" .Subcharts.rabbitmq -}}
{{- printf "%s://%s:%s" (empty $tls | ternary "http" "https") (include "trailpost.rabbitmq.host" .) (include "rabbitmq.managementPort" .Subcharts.rabbitmq) -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the keys producer-password and consumer-password. */}}
{{- define "trailpost.rabbitmq.secretName" -}}
{{- if .Values.rabbitmq.enabled -}}
{{- include "rabbitmq.secretName" .Subcharts.rabbitmq -}}
{{- else -}}
{{- .Values.externalRabbitmq.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "producer") */}}
{{- define "trailpost.rabbitmq.settings" -}}
{{- $own := .root.Values.rabbitmq.enabled -}}
{{- $external := .root.Values.externalRabbitmq -}}
RABBITMQ_HOST: {{ include "trailpost.rabbitmq.host" .root | quote }}
RABBITMQ_PORT: {{ include "trailpost.rabbitmq.port" .root | quote }}
RABBITMQ_VHOST: {{ $own | ternary "/" $external.vhost | quote }}
RABBITMQ_USER: {{ $own | ternary .component (get $external.users .component) | quote }}
RABBITMQ_PASSWORD_FILE: /etc/trailpost/rabbitmq/password
RABBITMQ_QUEUE_NAME: {{ include "trailpost.rabbitmq.queue" .root | quote }}
RABBITMQ_QUEUE_TYPE: {{ $own | ternary "existing" $external.queueType | quote }}
{{- with include "trailpost.rabbitmq.managementUrl" .root }}
RABBITMQ_MANAGEMENT_URL: {{ . | quote }}
{{- end }}
RABBITMQ_ALLOW_LOSSY_POLICIES: {{ default false .root.Values.allowLossyPolicies | quote }}
{{- if and $own .root.Values.global.tls.enabled }}
RABBITMQ_TLS: "true"
RABBITMQ_CACERTFILE: /etc/trailpost/rabbitmq/ca.crt
{{- end }}
{{- if and (not $own) $external.tls.enabled }}
RABBITMQ_TLS: "true"
{{- with $external.tls.serverName }}
RABBITMQ_SERVER_NAME: {{ . | quote }}
{{- end }}
{{- if $external.tls.caSecret }}
RABBITMQ_CACERTFILE: /etc/trailpost/rabbitmq/ca.crt
{{- end }}
{{- if $external.tls.clientSecret }}
RABBITMQ_CERTFILE: /etc/trailpost/rabbitmq/tls.crt
RABBITMQ_KEYFILE: /etc/trailpost/rabbitmq/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{/* All its files are in one volume. (dict "root" $ "component" "producer") */}}
{{- define "trailpost.rabbitmq.volume" -}}
{{- $tls := dict -}}
{{- if and (not .root.Values.rabbitmq.enabled) .root.Values.externalRabbitmq.tls.enabled -}}
{{- $tls = .root.Values.externalRabbitmq.tls -}}
{{- else if and .root.Values.rabbitmq.enabled .root.Values.global.tls.enabled -}}
{{- $tls = dict "caSecret" (include "rabbitmq.tlsSecretName" .root.Subcharts.rabbitmq) -}}
{{- end -}}
- name: rabbitmq
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "trailpost.rabbitmq.secretName" .root }}
          items:
            - key: {{ .component }}-password
              path: password
      {{- with $tls.caSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: ca.crt
              path: ca.crt
      {{- end }}
      {{- with $tls.clientSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: tls.crt
              path: tls.crt
            - key: tls.key
              path: tls.key
      {{- end }}
{{- end -}}

{{- define "trailpost.rabbitmq.mount" -}}
- name: rabbitmq
  mountPath: /etc/trailpost/rabbitmq
  readOnly: true
{{- end -}}

{{/*
Changes when the passwords do, so that pods start anew. The subchart's generated ones
never change, and what an existing Secret holds nobody tells us.
*/}}
{{- define "trailpost.rabbitmq.checksum" -}}
{{- .Values.rabbitmq.enabled | ternary .Values.rabbitmq.auth .Values.externalRabbitmq | toJson | sha256sum -}}
{{- end -}}

{{- define "trailpost.rabbitmq.queue" -}}
{{- .Values.rabbitmq.enabled | ternary (.Values.rabbitmq.queue).name .Values.externalRabbitmq.queue -}}
{{- end -}}
