{{/*
The spec of a Job that runs `migrate partitions …` as the schema's owner, or, with
"volume", has the exports' volume.
(dict "root" $ "name" "ensure" "command" (list …) "values" .Values.partitions.ensure "volume" false "database" true)
*/}}
{{- define "trailpost.partitions.spec" -}}
{{- $partitions := .root.Values.partitions -}}
{{- $this := dict "root" .root "component" "partitions" "values" $partitions -}}
backoffLimit: 2
activeDeadlineSeconds: {{ int .values.timeoutSeconds }}
template:
  metadata:
    labels:
      {{- include "trailpost.podLabels" $this | nindent 6 }}
    {{- with $partitions.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    {{- include "trailpost.podSettings" $this | nindent 4 }}
    restartPolicy: Never
    containers:
      - name: {{ .name }}
        {{- include "trailpost.containerImage" (dict "root" .root "image" .root.Values.consumer.image) | nindent 8 }}
        command:
          {{- toYaml (concat (list "/migrate" "partitions") .command) | nindent 10 }}
        {{- if .database }}
        env:
          {{- range $name, $value := include "trailpost.partitions.settings" .root | fromYaml }}
          - name: {{ $name }}
            value: {{ $value | quote }}
          {{- end }}
        {{- end }}
        resources:
          {{- toYaml .values.resources | nindent 10 }}
        volumeMounts:
          {{- if .database }}
          {{- include "trailpost.database.mount" .root | nindent 10 }}
          {{- end }}
          {{- if .volume }}
          - name: exports
            mountPath: /exports
          {{- end }}
    volumes:
      {{- if .database }}
      {{- include "trailpost.database.volume" (dict "root" .root "roles" (list "owner")) | nindent 6 }}
      {{- end }}
      {{- if .volume }}
      - name: exports
        persistentVolumeClaim:
          claimName: {{ default (printf "%s-exports" (include "trailpost.fullname" .root)) $partitions.retention.persistence.existingClaim }}
      {{- end }}
{{- end -}}

{{/* Its environment as a map. EVENT_ID_MAX_AGE: no month goes while the producer takes its events. */}}
{{- define "trailpost.partitions.settings" -}}
ENVIRONMENT: {{ .Values.environment | quote }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
{{ include "trailpost.database.settings" . }}
MIGRATE_DATABASE_USER: {{ .Values.database.users.owner | quote }}
MIGRATE_DATABASE_PASSWORD_FILE: /etc/trailpost/database/owner-password
EVENT_ID_MAX_AGE: {{ .Values.producer.eventIdMaxAge | quote }}
{{- end -}}

{{/*
A CronJob. Its name has at most 52 characters, of which the longest fullname leaves 7:
the subcommand's, with a hyphen.
(as above)
*/}}
{{- define "trailpost.partitions.cronJob" -}}
{{- $labels := dict "root" .root "component" "partitions" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "trailpost.fullname" .root }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "trailpost.labels" $labels | nindent 4 }}
spec:
  schedule: {{ .values.schedule | quote }}
  {{- with .root.Values.partitions.timeZone }}
  timeZone: {{ . | quote }}
  {{- end }}
  concurrencyPolicy: Forbid
  # after downtime of the cluster, one missed run is made up for
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    metadata:
      labels:
        {{- include "trailpost.labels" $labels | nindent 8 }}
    spec:
      {{- include "trailpost.partitions.spec" . | nindent 6 }}
{{- end -}}
