{{/*
The spec of a Job that has the backup's volume and reaches the server.
(dict "root" $ "command" (list …))
*/}}
{{- define "postgresql.backup.spec" -}}
{{- $labels := dict "root" .root "component" "backup" -}}
{{- $backup := .root.Values.backup -}}
backoffLimit: 2
activeDeadlineSeconds: {{ int $backup.timeoutSeconds }}
template:
  metadata:
    labels:
      {{- include "postgresql.podLabels" $labels | nindent 6 }}
    {{- with .root.Values.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    {{- include "postgresql.podSettings" .root | nindent 4 }}
    restartPolicy: Never
    containers:
      - name: backup
        {{- include "postgresql.containerImage" .root | nindent 8 }}
        command:
          {{- toYaml .command | nindent 10 }}
        env:
          - name: PGHOST
            value: {{ include "postgresql.fullname" .root }}
          - name: PGUSER
            value: postgres
          - name: PGPASSWORD
            valueFrom:
              secretKeyRef:
                name: {{ include "postgresql.secretName" .root }}
                key: postgres-password
          {{- if include "postgresql.tls" .root }}
          - name: PGSSLMODE
            value: verify-full
          - name: PGSSLROOTCERT
            value: /etc/postgresql-tls/ca.crt
          {{- end }}
          - name: KEEP
            value: {{ $backup.keep | quote }}
          {{- with $backup.databases }}
          - name: DATABASES
            value: {{ join "\n" . | quote }}
          {{- end }}
        resources:
          {{- toYaml $backup.resources | nindent 10 }}
        volumeMounts:
          - name: backup
            mountPath: /backup
          - name: scripts
            mountPath: /etc/postgresql-scripts
            readOnly: true
          - name: tmp
            mountPath: /tmp
          {{- if include "postgresql.tls" .root }}
          - name: tls
            mountPath: /etc/postgresql-tls
            readOnly: true
          {{- end }}
    volumes:
      {{- if include "postgresql.tls" .root }}
      - name: tls
        secret:
          secretName: {{ include "postgresql.tlsSecretName" .root }}
          defaultMode: 0440
          items:
            - key: ca.crt
              path: ca.crt
      {{- end }}
      - name: backup
        persistentVolumeClaim:
          claimName: {{ default (printf "%s-backup" (include "postgresql.fullname" .root)) $backup.persistence.existingClaim }}
      - name: scripts
        configMap:
          name: {{ include "postgresql.fullname" .root }}
      - name: tmp
        emptyDir: {}
{{- end -}}
