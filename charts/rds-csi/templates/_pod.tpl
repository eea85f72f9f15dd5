{{/*
What every pod of ours has in common. Each define takes (list $ "component" $settings).
*/}}

{{- define "rds-csi.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 2 -}}
labels:
  {{- include "rds-csi.labels" (list $root (index . 1)) | nindent 2 }}
  {{- with $settings.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $settings.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "rds-csi.podSpec" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 2 -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $settings.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml $settings.podSecurityContext | nindent 2 }}
{{- with $settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $settings.affinity }}
affinity:
  {{- toYaml $settings.affinity | nindent 2 }}
{{- else if gt (int ($settings.replicas | default 1)) 1 }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "rds-csi.selector" (list $root (index . 1)) | nindent 14 }}
{{- end }}
{{- end -}}

{{/* Image, policy, context, resources of our container: (list $ "program" $settings) */}}
{{- define "rds-csi.container" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 2 -}}
image: {{ include "rds-csi.image" . }}
imagePullPolicy: {{ include "rds-csi.pullPolicy" (list $root $settings) }}
securityContext:
  {{- toYaml $settings.securityContext | nindent 2 }}
resources:
  {{- toYaml $settings.resources | nindent 2 }}
{{- with $settings.extraArgs }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment every service understands: (list $ $settings adminListen) */}}
{{- define "rds-csi.env" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 1 -}}
# The C library would keep memory apart for eight times as many threads as there are cores.
- {name: MALLOC_ARENA_MAX, value: "2"}
- {name: RDS_LOG, value: {{ $root.Values.logLevel | quote }}}
- {name: RDS_LOG_FORMAT, value: {{ $root.Values.logFormat }}}
- {name: RDS_ADMIN_LISTEN, value: {{ index . 2 | quote }}}
# Calls in flight end before kubelet's patience does, and what is told last still leaves.
- {name: RDS_SHUTDOWN_GRACE, value: {{ sub (int $settings.terminationGracePeriodSeconds) 15 | quote }}}
{{- with $root.Values.otel.endpoint }}
- {name: RDS_OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: RDS_TRACE_SAMPLE_RATIO, value: {{ $root.Values.otel.sampleRatio | quote }}}
{{- end }}
{{- end -}}

{{- define "rds-csi.tlsEnv" -}}
- {name: RDS_TLS_CERT, value: /tls/tls.crt}
- {name: RDS_TLS_KEY, value: /tls/tls.key}
- {name: RDS_TLS_CA, value: /tls/ca.crt}
{{- end -}}

{{/* The volume that /tls is mounted from: (list $ "role") */}}
{{- define "rds-csi.tlsVolume" -}}
- name: tls
  secret:
    secretName: {{ include "rds-csi.tlsSecret" . }}
    defaultMode: 0440
{{- end -}}

{{/* Probes on the admin port: a name, or a number of the host's. */}}
{{- define "rds-csi.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 20
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{/* The token of the pod's ServiceAccount as a volume, for single containers of a pod. */}}
{{- define "rds-csi.tokenVolume" -}}
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- end -}}

{{- define "rds-csi.tokenMount" -}}
- {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end -}}

{{/* (list $ "component" $settings) */}}
{{- define "rds-csi.podDisruptionBudget" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 2 -}}
{{- if and (gt (int $settings.replicas) 1) $settings.podDisruptionBudget }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "rds-csi.metadata" (list $root (index . 1)) | nindent 2 }}
spec:
  {{- /* One of the two; what is left over from the defaults does not count. */}}
  {{- if $settings.podDisruptionBudget.minAvailable }}
  minAvailable: {{ $settings.podDisruptionBudget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $settings.podDisruptionBudget.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "rds-csi.selector" (list $root (index . 1)) | nindent 6 }}
{{- end }}
{{- end -}}
