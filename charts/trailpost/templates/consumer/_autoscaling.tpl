{{/*
What the consumers are scaled by, in PromQL. The broker's own scaler counts ready
messages alone: it is blind to what waits in consumers' hands, and to how many events
a message holds.
*/}}

{{/* (dict "root" $ "more" ",state=\"ready\"") */}}
{{- define "trailpost.series" -}}
{{- $name := include "trailpost.fullname" .root -}}
{namespace="{{ .root.Release.Namespace }}",job=~"{{ $name }}-(producer|consumer)"{{ .more }}}
{{- end -}}

{{/*
Age of the oldest event that a consumer holds, in seconds. While messages are ready and
nobody holds one, as when all consumers are stopped, it is unknown and not 0.
*/}}
{{- define "trailpost.lag.query" -}}
max(trailpost_oldest_event_in_hand_seconds{{ include "trailpost.series" (dict "root" . "more" "") }})
unless (
  max(trailpost_queue_messages{{ include "trailpost.series" (dict "root" . "more" ",state=\"ready\"") }}) > 0
  and
  (sum(trailpost_queue_messages{{ include "trailpost.series" (dict "root" . "more" ",state=\"unacked\"") }}) or vector(0)) == 0
)
{{- end -}}

{{/* Events that wait, estimated: messages × events a message, which is 64 while no producer has told. */}}
{{- define "trailpost.waiting.query" -}}
{{- $published := include "trailpost.series" (dict "root" . "more" ",direction=\"published\"") -}}
(
  max(trailpost_queue_messages{{ include "trailpost.series" (dict "root" . "more" ",state=\"ready\"") }})
  + (sum(trailpost_queue_messages{{ include "trailpost.series" (dict "root" . "more" ",state=\"unacked\"") }}) or vector(0))
) * (
  sum(increase(trailpost_message_events_sum{{ $published }}[1h]))
  / (sum(increase(trailpost_message_events_count{{ $published }}[1h])) > 0)
  or vector(64)
)
{{- end -}}
