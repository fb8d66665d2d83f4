{{- define "rabbitmq.image" -}}
{{- with default .Values.image.registry (.Values.global).imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- with .Values.image.tag }}:{{ . }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "rabbitmq.containerImage" -}}
image: {{ include "rabbitmq.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{/* Where pods may run, and as whom. */}}
{{- define "rabbitmq.podSettings" -}}
serviceAccountName: {{ include "rabbitmq.serviceAccountName" . }}
automountServiceAccountToken: false
# A Service that is called rabbitmq would set RABBITMQ_PORT and more, which the server reads.
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
affinity:
  {{- if .Values.affinity }}
  {{- toYaml .Values.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "rabbitmq.selectorLabels" . | nindent 14 }}
  {{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $selector := dict "matchLabels" (include "rabbitmq.selectorLabels" $ | fromYaml) }}
  - {{- merge (deepCopy .) (dict "labelSelector" $selector) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
The node's name is its pod's in the cluster's DNS, so it is the same after a restart, and
the volume's content belongs to it.
*/}}
{{- define "rabbitmq.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: RABBITMQ_USE_LONGNAME
  value: "true"
- name: RABBITMQ_NODENAME
  value: rabbit@$(POD_NAME).{{ include "rabbitmq.headlessName" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
# Read beside conf.d.
- name: RABBITMQ_CONFIG_FILE
  value: /run/rabbitmq/rabbitmq.conf
# The Erlang VM itself must get SIGTERM, not a shell. The official image sets this, too.
- name: RUNNING_UNDER_SYSTEMD
  value: "true"
{{- end -}}

{{/*
Changes when a password does that is given as a value, since a node reads passwords when it
starts. Others can read annotations, so it is no plain hash: derivePassword is scrypt, and a
guess at a weak password costs as much.
*/}}
{{- define "rabbitmq.passwordsChecksum" -}}
{{- $given := omit .Values.auth "existingSecret" -}}
{{- if and (not .Values.auth.existingSecret) (values $given | join "") -}}
{{- derivePassword 1 "maximum" (toJson $given) .Release.Namespace (include "rabbitmq.fullname" .) | sha256sum -}}
{{- end -}}
{{- end -}}

{{/* The user's variables; server-side apply, which Helm 4 uses, takes a name once. */}}
{{- define "rabbitmq.extraEnv" -}}
{{- $taken := dict "POD_NAME" true "RABBITMQ_USE_LONGNAME" true "RABBITMQ_NODENAME" true "RABBITMQ_CONFIG_FILE" true "RUNNING_UNDER_SYSTEMD" true -}}
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
