{{/*
Traces: the variables of OpenTelemetry's specification, of which Trailpost's README lists
those that it reads. The collector's headers and authorities are files of one volume.
*/}}

{{- define "trailpost.tracing.settings" -}}
{{- with .Values.tracing }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
OTEL_TRACES_SAMPLER: {{ .sampler | quote }}
OTEL_TRACES_SAMPLER_ARG: {{ .samplerArg | quote }}
{{- $attributes := list (printf "k8s.namespace.name=%s" $.Release.Namespace) }}
{{- range $name, $value := .resourceAttributes }}
{{- $attributes = append $attributes (printf "%s=%s" $name (urlquery $value | replace "+" "%20")) }}
{{- end }}
OTEL_RESOURCE_ATTRIBUTES: {{ join "," $attributes | quote }}
{{- if .headersSecret }}
OTEL_EXPORTER_OTLP_HEADERS_FILE: /etc/trailpost/tracing/headers
{{- end }}
{{- if .caSecret }}
OTEL_EXPORTER_OTLP_CERTIFICATE: /etc/trailpost/tracing/ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{/* "true" if there are files. */}}
{{- define "trailpost.tracing.files" -}}
{{- with .Values.tracing }}{{ if and .endpoint (or .headersSecret .caSecret) }}true{{ end }}{{ end -}}
{{- end -}}

{{- define "trailpost.tracing.volume" -}}
- name: tracing
  projected:
    defaultMode: 0440
    sources:
      {{- with .Values.tracing.headersSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: headers
              path: headers
      {{- end }}
      {{- with .Values.tracing.caSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: ca.crt
              path: ca.crt
      {{- end }}
{{- end -}}

{{- define "trailpost.tracing.mount" -}}
- name: tracing
  mountPath: /etc/trailpost/tracing
  readOnly: true
{{- end -}}
