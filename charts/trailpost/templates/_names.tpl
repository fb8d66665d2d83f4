{{/*
Names and labels. Selectors are name, instance and component, and never change: a
Deployment's selector is immutable, and charts that put a version into it can't be
upgraded.
*/}}

{{- define "trailpost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{/* 45 characters leave room for the longest suffix, -migrate-01234567, in a label's 63. */}}
{{- define "trailpost.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else if contains (include "trailpost.name" .) .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "trailpost.name" .) | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "producer") */}}
{{- define "trailpost.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trailpost.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of objects, never of selectors. (dict "root" $ "component" "producer") */}}
{{- define "trailpost.labels" -}}
{{ include "trailpost.selectorLabels" . }}
app.kubernetes.io/part-of: trailpost
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with omit .root.Values.commonLabels "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: what selectors need, and the user's own. (dict "root" $ "component" "producer" "values" .Values.producer) */}}
{{- define "trailpost.podLabels" -}}
{{ include "trailpost.selectorLabels" . }}
app.kubernetes.io/part-of: trailpost
{{- with omit .values.podLabels "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/part-of" }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "component" "producer" "values" .Values.producer) */}}
{{- define "trailpost.serviceAccountName" -}}
{{- if (.values.serviceAccount).create -}}
{{- default (printf "%s-%s" (include "trailpost.fullname" .root) .component) .values.serviceAccount.name -}}
{{- else -}}
{{- default "default" (.values.serviceAccount).name -}}
{{- end -}}
{{- end -}}
