{{/* Not empty if the server speaks TLS, and nothing else. */}}
{{- define "rabbitmq.tls" -}}
{{- if ((.Values.global).tls).enabled -}}yes{{- end -}}
{{- end -}}

{{/* The Secret with the keys tls.crt, tls.key and ca.crt. */}}
{{- define "rabbitmq.tlsSecretName" -}}
{{- if .Values.tls.existingSecret -}}
{{- .Values.tls.existingSecret -}}
{{- else if (.Values.global.tls.issuerRef).name -}}
{{- include "rabbitmq.fullname" . }}-tls
{{- else -}}
{{- fail "global.tls.enabled is true: rabbitmq.tls.existingSecret must name a Secret with the keys tls.crt, tls.key and ca.crt, or global.tls.issuerRef an issuer of cert-manager" -}}
{{- end -}}
{{- end -}}

{{/* amqp or amqps: the name of the ports. */}}
{{- define "rabbitmq.amqp" -}}
{{- include "rabbitmq.tls" . | empty | ternary "amqp" "amqps" -}}
{{- end -}}

{{- define "rabbitmq.amqpPort" -}}
{{- include "rabbitmq.tls" . | empty | ternary 5672 5671 -}}
{{- end -}}

{{- define "rabbitmq.management" -}}
{{- include "rabbitmq.tls" . | empty | ternary "http-management" "https-mgmt" -}}
{{- end -}}

{{- define "rabbitmq.managementPort" -}}
{{- include "rabbitmq.tls" . | empty | ternary 15672 15671 -}}
{{- end -}}

{{/* The server's part of rabbitmq.conf. Erlang looks for new files every two minutes. */}}
{{- define "rabbitmq.tlsConf" -}}
# Nobody speaks AMQP in the clear.
listeners.tcp = none
listeners.ssl.default = 5671
ssl_options.certfile = /etc/rabbitmq-tls/tls.crt
ssl_options.keyfile = /etc/rabbitmq-tls/tls.key
ssl_options.cacertfile = /etc/rabbitmq-tls/ca.crt
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
# Clients have passwords.
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
{{- end -}}
