{{/* Not empty if the server speaks TLS, and nothing else. */}}
{{- define "postgresql.tls" -}}
{{- if ((.Values.global).tls).enabled -}}yes{{- end -}}
{{- end -}}

{{/* The Secret with the keys tls.crt, tls.key and ca.crt. */}}
{{- define "postgresql.tlsSecretName" -}}
{{- if .Values.tls.existingSecret -}}
{{- .Values.tls.existingSecret -}}
{{- else if (.Values.global.tls.issuerRef).name -}}
{{- include "postgresql.fullname" . }}-tls
{{- else -}}
{{- fail "global.tls.enabled is true: postgresql.tls.existingSecret must name a Secret with the keys tls.crt, tls.key and ca.crt, or global.tls.issuerRef an issuer of cert-manager" -}}
{{- end -}}
{{- end -}}
