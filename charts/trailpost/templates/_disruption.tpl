{{/*
At most some pods are gone at a time: minAvailable 1 would let nobody drain the node of
a single replica. Pods that are not ready don't hold up a drain.
(dict "root" $ "component" "producer" "values" .Values.producer)
*/}}
{{- define "trailpost.podDisruptionBudget" -}}
{{- if .values.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "trailpost.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "trailpost.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "trailpost.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}
