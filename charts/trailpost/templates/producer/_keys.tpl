{{/* The Secret with the keys `keys`, the file that the producer reads, and `client-key`, a key of it. */}}
{{- define "trailpost.producer.keysName" -}}
{{- default (printf "%s-producer-keys" (include "trailpost.fullname" .)) .Values.producer.apiKeys.existingSecret -}}
{{- end -}}
