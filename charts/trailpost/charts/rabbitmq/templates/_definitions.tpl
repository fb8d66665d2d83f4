{{/*
What there is before the first client. Arguments of queues are final, and are exactly what
Trailpost itself would declare (services/internal/broker/internal/queues/topology.go); a test compares
them. What can be tuned is a policy. The hash of a password stands as @KEY@: the pod puts
it in, so that an existing Secret need not be read here.
*/}}
{{- define "rabbitmq.definitions" -}}
{{- $queue := .Values.queue.name -}}
{{- $dead := printf "%s.dead" $queue -}}
{{- /*
Of the policies that match a queue, only the one with the highest priority applies. So each
queue has one of ours, above those that somebody makes for all queues, which may limit and
drop. A length that an operator policy adds refuses, too, unless that has an `overflow` itself:
a policy's beats a queue's own. (A delivery limit is the smaller of policy's and argument's, which is why the
dead letters' is here, too.)
*/ -}}
{{- $timeout := mul 1000 (int64 .Values.queue.consumerTimeoutSeconds) -}}
{{- $policy := dict
  "overflow" "reject-publish"
  "delivery-limit" (int64 .Values.queue.deliveryLimit)
  "consumer-timeout" $timeout
-}}
{{- if ne .Values.queue.maxLengthBytes nil -}}
  {{- $_ := set $policy "max-length-bytes" (int64 .Values.queue.maxLengthBytes) -}}
{{- end -}}
{{- $deadPolicy := dict
  "overflow" "reject-publish"
  "delivery-limit" 2000000000
  "consumer-timeout" $timeout
-}}
{{- /* Both services read their queues' policies by the management API, which needs the tag. */ -}}
{{- $users := list -}}
{{- range $name, $tags := dict "admin" (list "administrator") "producer" (list "management") "consumer" (list "management") -}}
  {{- $users = append $users (dict "name" $name "tags" $tags "password_hash" (printf "@%s-password@" $name)
    "hashing_algorithm" "rabbit_password_hashing_sha256") -}}
{{- end -}}
{{- /*
Both publish through the default exchange. Since 4.3 looking at a queue by a passive
declaration takes some right on it, so the producer may write to its queues, which by itself
allows nothing more: binding them takes a right to read an exchange, reading one to read.
*/ -}}
{{- $both := printf "%s(\\.dead)?" (regexQuoteMeta $queue) -}}
{{- dict
  "vhosts" (list (dict "name" "/"))
  "users" $users
  "permissions" (list
    (dict "user" "admin" "vhost" "/" "configure" ".*" "write" ".*" "read" ".*")
    (dict "user" "producer" "vhost" "/" "configure" "^$" "write" (printf "^(amq\\.default|%s)$" $both) "read" "^$")
    (dict "user" "consumer" "vhost" "/" "configure" "^$" "write" "^amq\\.default$" "read" (printf "^%s$" $both)))
  "policies" (list
    (dict "name" "trailpost" "vhost" "/" "pattern" (printf "^%s$" (regexQuoteMeta $queue)) "apply-to" "quorum_queues" "priority" 1000 "definition" $policy)
    (dict "name" "trailpost-dead" "vhost" "/" "pattern" (printf "^%s$" (regexQuoteMeta $dead)) "apply-to" "quorum_queues" "priority" 1000 "definition" $deadPolicy))
  "queues" (list
    (dict "name" $dead "vhost" "/" "durable" true "auto_delete" false "arguments" (dict
      "x-queue-type" "quorum"
      "x-delivery-limit" 2000000000))
    (dict "name" $queue "vhost" "/" "durable" true "auto_delete" false "arguments" (dict
      "x-queue-type" "quorum"
      "x-dead-letter-exchange" ""
      "x-dead-letter-routing-key" $dead
      "x-dead-letter-strategy" "at-least-once"
      "x-overflow" "reject-publish")))
| toPrettyJson -}}
{{- end -}}
