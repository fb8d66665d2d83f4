{{/*
The Job's spec. A Job's pod template is immutable, so the Job bears its spec's hash in
its name: a release that changes nothing here keeps its finished Job, any other gets a
new one. (A hook won't do: before the release there is no database yet, and after it
`--wait` waits for pods that wait for the hook.)
*/}}
{{- define "trailpost.migrate.spec" -}}
{{- $migrate := .Values.migrate -}}
{{- $this := dict "root" . "component" "migrate" "values" $migrate -}}
{{- $settings := include "trailpost.migrate.settings" . | fromYaml -}}
backoffLimit: {{ int $migrate.backoffLimit }}
{{- if ne $migrate.ttlSecondsAfterFinished nil }}
ttlSecondsAfterFinished: {{ int $migrate.ttlSecondsAfterFinished }}
{{- end }}
template:
  metadata:
    labels:
      {{- include "trailpost.podLabels" $this | nindent 6 }}
    annotations:
      # Another password runs the Job again, which is what sets passwords.
      checksum/secrets: {{ printf "%s %s" (include "trailpost.database.checksum" .) (include "trailpost.database.adminChecksum" .) | sha256sum }}
      {{- with $migrate.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    {{- include "trailpost.podSettings" $this | nindent 4 }}
    restartPolicy: OnFailure
    {{- if $migrate.roles }}
    initContainers:
      - name: roles
        {{- include "trailpost.migrate.container" (dict "root" . "settings" $settings "command" (list "/migrate" "roles" "--wait")) | nindent 8 }}
    {{- end }}
    containers:
      - name: up
        {{- include "trailpost.migrate.container" (dict "root" . "settings" $settings "command" (list "/migrate" "up" "--wait")) | nindent 8 }}
    volumes:
      {{- include "trailpost.database.volume" (dict "root" . "roles" ($migrate.roles | ternary (list "owner" "writer" "reader") (list "owner")) "admin" $migrate.roles) | nindent 6 }}
      {{- with $migrate.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end -}}

{{/* Its environment as a map. */}}
{{- define "trailpost.migrate.settings" -}}
ENVIRONMENT: {{ .Values.environment | quote }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
{{ include "trailpost.database.settings" . }}
MIGRATE_DATABASE_USER: {{ .Values.database.users.owner | quote }}
MIGRATE_DATABASE_PASSWORD_FILE: /etc/trailpost/database/owner-password
{{- if .Values.migrate.roles }}
DATABASE_USER: {{ .Values.database.users.writer | quote }}
DATABASE_PASSWORD_FILE: /etc/trailpost/database/writer-password
READER_DATABASE_USER: {{ .Values.database.users.reader | quote }}
READER_DATABASE_PASSWORD_FILE: /etc/trailpost/database/reader-password
ADMIN_DATABASE_USER: {{ .Values.postgresql.enabled | ternary "postgres" .Values.externalDatabase.admin.user | quote }}
ADMIN_DATABASE_NAME: {{ .Values.postgresql.enabled | ternary "postgres" .Values.externalDatabase.admin.database | quote }}
ADMIN_DATABASE_PASSWORD_FILE: /etc/trailpost/database/admin-password
{{- end }}
{{- end -}}

{{/* (dict "root" $ "settings" map "command" (list …)) */}}
{{- define "trailpost.migrate.container" -}}
{{- $migrate := .root.Values.migrate -}}
{{ include "trailpost.containerImage" (dict "root" .root "image" .root.Values.consumer.image) }}
command:
  {{- toYaml .command | nindent 2 }}
env:
  {{- range $name, $value := .settings }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- with include "trailpost.extraEnv" (dict "where" "migrate.extraEnv" "extra" $migrate.extraEnv "taken" (keys .settings)) }}
  {{- . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml $migrate.resources | nindent 2 }}
volumeMounts:
  {{- include "trailpost.database.mount" .root | nindent 2 }}
  {{- with $migrate.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
