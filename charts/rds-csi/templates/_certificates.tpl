{{/* Annotations of an object that exists while certificates are made; . is its weight. */}}
{{- define "rds-csi.certificatesHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-failed
{{- end -}}

{{/* A pod that makes certificates: (list $ "account") */}}
{{- define "rds-csi.certificatesPod" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
metadata:
  labels:
    {{- include "rds-csi.labels" (list $root "certificates") | nindent 4 }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "rds-csi.fullname" $root }}-{{ $name }}
  automountServiceAccountToken: true
  {{- include "rds-csi.podSpec" (list $root "certificates" (include "rds-csi.toolPod" $root | fromYaml)) | nindent 2 }}
  containers:
    - name: rdsctl
      {{- include "rds-csi.toolContainer" $root | nindent 6 }}
      args:
        - certificates
        - ensure
        - --namespace={{ $root.Release.Namespace }}
        - --secret-prefix={{ include "rds-csi.fullname" $root }}
        - --validity-days={{ $root.Values.certificates.validityDays }}
{{- end -}}

{{/* Settings of the pods of jobs and of the chart's test. */}}
{{- define "rds-csi.toolPod" -}}
terminationGracePeriodSeconds: 10
nodeSelector: {kubernetes.io/os: linux}
podSecurityContext:
  {{- toYaml .Values.rdsBackend.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "rds-csi.toolContainer" -}}
image: {{ include "rds-csi.image" (list . "rdsctl" .Values.rdsctl) }}
imagePullPolicy: {{ include "rds-csi.pullPolicy" (list . .Values.rdsctl) }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
resources:
  {{- toYaml .Values.rdsctl.resources | nindent 2 }}
{{- end -}}
