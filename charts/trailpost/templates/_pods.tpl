{{/*
What every pod of the chart has in common.
*/}}

{{/* (dict "root" $ "image" .Values.producer.image) */}}
{{- define "trailpost.image" -}}
{{- $registry := default .image.registry (.root.Values.global).imageRegistry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if or .image.tag (not .image.digest) }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/*
The pod's settings but for its containers and volumes. Nothing here speaks with the
Kubernetes API, so no pod gets a token; and no service links, which would set
RABBITMQ_PORT to "tcp://…" beside a Service that is called rabbitmq.
(dict "root" $ "component" "producer" "values" .Values.producer)
*/}}
{{- define "trailpost.podSettings" -}}
serviceAccountName: {{ include "trailpost.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat (.root.Values.imagePullSecrets | default list) ((.root.Values.global).imagePullSecrets | default list) | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.affinity }}
affinity:
  {{- toYaml .values.affinity | nindent 2 }}
{{- else if has .component (list "producer" "consumer") }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "trailpost.selectorLabels" . | nindent 14 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $selector := dict "matchLabels" (include "trailpost.selectorLabels" $ | fromYaml) }}
  - {{- merge (deepCopy .) (dict "labelSelector" $selector) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.producer.image) */}}
{{- define "trailpost.containerImage" -}}
image: {{ include "trailpost.image" . | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{/*
The user's variables. One that the chart sets too is refused: server-side apply, which
Helm 4 uses, takes a name once, and of two values nobody could say which holds.
(dict "where" "producer.extraEnv" "extra" .Values.producer.extraEnv "taken" (list "RABBITMQ_HOST"))
*/}}
{{- define "trailpost.extraEnv" -}}
{{- $seen := dict -}}
{{- range .extra -}}
{{- if has .name $.taken -}}
{{- fail (printf "%s: %s is set by the chart; use the value that stands for it" $.where .name) -}}
{{- end -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "%s: %s is there twice" $.where .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- with .extra }}
{{- toYaml . }}
{{- end -}}
{{- end -}}
