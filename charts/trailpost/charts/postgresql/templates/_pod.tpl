{{- define "postgresql.image" -}}
{{- with default .Values.image.registry (.Values.global).imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- with .Values.image.tag }}:{{ . }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "postgresql.containerImage" -}}
image: {{ include "postgresql.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{/* What the pods of the server and of the dumps have in common. */}}
{{- define "postgresql.podSettings" -}}
serviceAccountName: {{ include "postgresql.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat (.Values.imagePullSecrets | default list) ((.Values.global).imagePullSecrets | default list) | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The server's arguments: each setting is one, so that `helm diff`, `kubectl describe` and `ps` show them. */}}
{{- define "postgresql.args" -}}
- postgres
# The trail's guarantees depend on these, so they override ALTER SYSTEM.
- -cfsync=on
- -cfull_page_writes=on
- -csynchronous_commit=on
{{- if include "postgresql.tls" . }}
- -cssl=on
- -cssl_cert_file=/etc/postgresql-tls/tls.crt
- -cssl_key_file=/etc/postgresql-tls/tls.key
- -chba_file=/etc/postgresql-scripts/pg_hba.conf
{{- end }}
{{- range $name, $value := .Values.config }}
{{- if ne $value nil }}
- {{ printf "-c%s=%s" $name (kindIs "string" $value | ternary $value (toJson $value)) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The user's variables; server-side apply, which Helm 4 uses, takes a name once. */}}
{{- define "postgresql.extraEnv" -}}
{{- $taken := dict "POSTGRES_PASSWORD_FILE" true "POSTGRES_PASSWORD" true "POSTGRES_DB" true "POSTGRES_INITDB_ARGS" true "POSTGRES_USER" true "PGDATA" true -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $taken .name -}}
{{- fail (printf "extraEnv: %s is set by the chart, or twice" .name) -}}
{{- end -}}
{{- $_ := set $taken .name true -}}
{{- end -}}
{{- with .Values.extraEnv }}
{{- toYaml . }}
{{- end -}}
{{- end -}}
