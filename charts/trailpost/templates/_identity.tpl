{{/*
The installation's identity key: whoever has it can tell which content an id was derived
from, and with another one what is replayed gets other ids than before. It is one for all
pods, and never changes by itself.
*/}}

{{/* The Secret with the key identity-key. */}}
{{- define "trailpost.identity.secretName" -}}
{{- default (printf "%s-identity-key" (include "trailpost.fullname" .)) (.Values.identityKey).existingSecret -}}
{{- end -}}

{{- define "trailpost.identity.settings" -}}
IDENTITY_KEY_FILE: /etc/trailpost/identity/identity-key
{{- end -}}

{{- define "trailpost.identity.volume" -}}
- name: identity
  secret:
    secretName: {{ include "trailpost.identity.secretName" . }}
    defaultMode: 0440
    items:
      - key: identity-key
        path: identity-key
{{- end -}}

{{- define "trailpost.identity.mount" -}}
- name: identity
  mountPath: /etc/trailpost/identity
  readOnly: true
{{- end -}}
