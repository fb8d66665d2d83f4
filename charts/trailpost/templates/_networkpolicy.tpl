{{/*
Who a component may be called by and may call. Probes come from the node and pass
whatever is written here.
*/}}

{{/* (dict "root" $ "component" "producer") and then ingress and egress rules below it. */}}
{{- define "trailpost.networkPolicy.head" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "trailpost.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "trailpost.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "trailpost.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end -}}

{{/* Wherever it is: a cache on the node is in no namespace. */}}
{{- define "trailpost.networkPolicy.toDNS" -}}
- ports:
    {{- range .Values.global.dnsPorts }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end -}}

{{/* The subchart's pods, or any address at the port of someone else's server. */}}
{{- define "trailpost.networkPolicy.toServer" -}}
- ports:
    - port: {{ .port }}
      protocol: TCP
  {{- if .own }}
  to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: {{ .name }}
          app.kubernetes.io/instance: {{ .root.Release.Name }}
  {{- else if .addresses }}
  to:
    {{- toYaml .addresses | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A URL's port: its own, or its scheme's. */}}
{{- define "trailpost.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end -}}

{{/* AMQP, and the management API where it is asked. */}}
{{- define "trailpost.networkPolicy.toRabbitMQ" -}}
{{- $server := dict "root" . "name" "rabbitmq" "own" .Values.rabbitmq.enabled "addresses" .Values.networkPolicy.externalRabbitmq -}}
{{ include "trailpost.networkPolicy.toServer" (merge (dict "port" (include "trailpost.rabbitmq.port" .)) $server) }}
{{- with include "trailpost.rabbitmq.managementUrl" . }}
{{ include "trailpost.networkPolicy.toServer" (merge (dict "port" (include "trailpost.urlPort" .)) $server) }}
{{- end }}
{{- end -}}

{{- define "trailpost.networkPolicy.toCollector" -}}
{{ include "trailpost.networkPolicy.toServer" (dict "root" . "name" "" "own" false "port" (include "trailpost.urlPort" .Values.tracing.endpoint) "addresses" .Values.networkPolicy.collector) }}
{{- end -}}

{{- define "trailpost.networkPolicy.toDatabase" -}}
{{ include "trailpost.networkPolicy.toServer" (dict "root" . "name" "postgresql" "own" .Values.postgresql.enabled "port" (include "trailpost.database.port" .) "addresses" .Values.networkPolicy.externalDatabase) }}
{{- end -}}
