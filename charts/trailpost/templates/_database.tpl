{{/*
The database: the subchart, or someone else's; and its roles, whose passwords are this
chart's in both cases.
*/}}

{{- define "trailpost.database.host" -}}
{{- if .Values.postgresql.enabled -}}
{{- include "postgresql.fullname" .Subcharts.postgresql -}}
{{- else -}}
{{- .Values.externalDatabase.host -}}
{{- end -}}
{{- end -}}

{{- define "trailpost.database.port" -}}
{{- if .Values.postgresql.enabled -}}5432{{- else -}}{{- .Values.externalDatabase.port -}}{{- end -}}
{{- end -}}

{{/* Not empty if all passwords are in Secrets of others. */}}
{{- define "trailpost.database.givenSecrets" -}}
{{- if or .Values.database.existingSecret .Values.database.existingSecrets.owner -}}yes{{- end -}}
{{- end -}}

{{/* The Secret with the keys owner-password, writer-password and reader-password. */}}
{{- define "trailpost.database.secretName" -}}
{{- default (printf "%s-database" (include "trailpost.fullname" .)) .Values.database.existingSecret -}}
{{- end -}}

{{- define "trailpost.database.adminSecretName" -}}
{{- if .Values.postgresql.enabled -}}
{{- include "postgresql.secretName" .Subcharts.postgresql -}}
{{- else -}}
{{- .Values.externalDatabase.admin.existingSecret -}}
{{- end -}}
{{- end -}}

{{/*
The passwords of the roles as JSON: what is given, else what the Secret has already,
else random. One rendering asks several times and must get one answer, so the first is
kept among the values.
*/}}
{{- define "trailpost.database.passwords" -}}
{{- if not (hasKey .Values "passwordsOfThisRendering") -}}
  {{- $there := dict -}}
  {{- with lookup "v1" "Secret" .Release.Namespace (include "trailpost.database.secretName" .) -}}
    {{- $there = default dict .data -}}
  {{- end -}}
  {{- $passwords := dict -}}
  {{- range $role := list "owner" "writer" "reader" -}}
    {{- $key := printf "%s-password" $role -}}
    {{- $password := get $.Values.database.passwords $role -}}
    {{- if and (not $password) (hasKey $there $key) -}}
      {{- $password = get $there $key | b64dec -}}
    {{- end -}}
    {{- $_ := set $passwords $key (default (randAlphaNum 32) $password) -}}
  {{- end -}}
  {{- $_ := set .Values "passwordsOfThisRendering" $passwords -}}
{{- end -}}
{{- toJson .Values.passwordsOfThisRendering -}}
{{- end -}}

{{/* The Secret whose key ca.crt has the authorities that may sign the server's certificate, or "". */}}
{{- define "trailpost.database.caSecret" -}}
{{- if not .Values.postgresql.enabled -}}
{{- .Values.externalDatabase.tls.caSecret -}}
{{- else if .Values.global.tls.enabled -}}
{{- include "postgresql.tlsSecretName" .Subcharts.postgresql -}}
{{- end -}}
{{- end -}}

{{/* A map of environment variables. */}}
{{- define "trailpost.database.settings" -}}
{{- $own := .Values.postgresql.enabled -}}
DATABASE_HOST: {{ include "trailpost.database.host" . | quote }}
DATABASE_PORT: {{ include "trailpost.database.port" . | quote }}
DATABASE_NAME: {{ .Values.database.name | quote }}
DATABASE_SSLMODE: {{ $own | ternary (.Values.global.tls.enabled | ternary "verify-full" "disable") .Values.externalDatabase.tls.sslmode | quote }}
{{- if include "trailpost.database.caSecret" . }}
DATABASE_SSLROOTCERT: /etc/trailpost/database/ca.crt
{{- end }}
{{- end -}}

{{/*
Its files, in one volume; each password has the name of its key.
(dict "root" $ "roles" (list "writer") "admin" false)
*/}}
{{- define "trailpost.database.volume" -}}
- name: database
  projected:
    defaultMode: 0440
    sources:
      {{- if .root.Values.database.existingSecrets.owner }}
      {{- range .roles }}
      - secret:
          name: {{ get $.root.Values.database.existingSecrets . }}
          items:
            - key: password
              path: {{ . }}-password
      {{- end }}
      {{- else }}
      - secret:
          name: {{ include "trailpost.database.secretName" .root }}
          items:
            {{- range .roles }}
            - key: {{ . }}-password
              path: {{ . }}-password
            {{- end }}
      {{- end }}
      {{- if .admin }}
      - secret:
          name: {{ include "trailpost.database.adminSecretName" .root }}
          items:
            - key: {{ .root.Values.postgresql.enabled | ternary "postgres-password" .root.Values.externalDatabase.admin.passwordKey }}
              path: admin-password
      {{- end }}
      {{- with include "trailpost.database.caSecret" .root }}
      - secret:
          name: {{ . }}
          items:
            - key: ca.crt
              path: ca.crt
      {{- end }}
{{- end -}}

{{- define "trailpost.database.mount" -}}
- name: database
  mountPath: /etc/trailpost/database
  readOnly: true
{{- end -}}

{{/* Changes when the passwords do, as far as this rendering knows them. */}}
{{- define "trailpost.database.checksum" -}}
{{- if .Values.database.existingSecret -}}
{{- sha256sum .Values.database.existingSecret -}}
{{- else if .Values.database.existingSecrets.owner -}}
{{- toJson .Values.database.existingSecrets | sha256sum -}}
{{- else -}}
{{- include "trailpost.database.passwords" . | sha256sum -}}
{{- end -}}
{{- end -}}

{{- define "trailpost.database.adminChecksum" -}}
{{- .Values.postgresql.enabled | ternary .Values.postgresql.auth .Values.externalDatabase.admin | toJson | sha256sum -}}
{{- end -}}
