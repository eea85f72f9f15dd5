{{- define "rds-csi.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component: (list $ "rds-backend") */}}
{{- define "rds-csi.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: rds-csi
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object of a component: (list $ "rds-backend") */}}
{{- define "rds-csi.labels" -}}
{{- $root := index . 0 -}}
{{ include "rds-csi.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name and namespace of an object of a component: (list $ "rds-backend") */}}
{{- define "rds-csi.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "rds-csi.fullname" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "rds-csi.labels" . | nindent 2 }}
{{- end -}}

{{/* Image of one of our programs: (list $ "rds-backend" $settings) */}}
{{- define "rds-csi.image" -}}
{{- $root := index . 0 -}}
{{- $own := (index . 2).image | default dict -}}
{{- $all := $root.Values.image -}}
{{- $registry := $root.Values.imageRegistry | default $own.registry | default $all.registry -}}
{{- $repository := $own.repository | default (printf "%s/%s" $all.repository (index . 1)) -}}
{{- if $own.digest -}}
{{- printf "%s/%s@%s" $registry $repository $own.digest -}}
{{- else -}}
{{- printf "%s/%s:%s" $registry $repository ($own.tag | default $all.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Image of a sidecar: (list $ $settings) */}}
{{- define "rds-csi.sidecarImage" -}}
{{- $root := index . 0 -}}
{{- $own := (index . 1).image -}}
{{- $name := printf "%s/%s" ($root.Values.imageRegistry | default $own.registry) $own.repository -}}
{{- if $own.digest }}{{ printf "%s@%s" $name $own.digest }}{{ else }}{{ printf "%s:%s" $name $own.tag }}{{ end -}}
{{- end -}}

{{/* Pull policy: (list $ $settings) */}}
{{- define "rds-csi.pullPolicy" -}}
{{- ((index . 1).image | default dict).pullPolicy | default (index . 0).Values.image.pullPolicy -}}
{{- end -}}

{{/* Secret with the certificate of a role: (list $ "rds-backend") */}}
{{- define "rds-csi.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- if eq $root.Values.certificates.source "secrets" -}}
{{- $keys := dict "csi-front" "csiFront" "rds-backend" "rdsBackend" "nvme-agent" "nvmeAgent" "event-relay" "eventRelay" "rdsctl" "rdsctl" -}}
{{- index $root.Values.certificates.secrets (index $keys $role) -}}
{{- else -}}
{{- printf "%s-%s-tls" (include "rds-csi.fullname" $root) $role -}}
{{- end -}}
{{- end -}}

{{/* Where a service is: (list $ "rds-backend" 7443) */}}
{{- define "rds-csi.endpoint" -}}
{{- $root := index . 0 -}}
{{- printf "tcp://%s-%s.%s.svc:%d" (include "rds-csi.fullname" $root) (index . 1) $root.Release.Namespace (int (index . 2)) -}}
{{- end -}}

{{/* An appliance's SSH address with its port. */}}
{{- define "rds-csi.sshAddress" -}}
{{- if regexMatch "(^[^:]+|\\]):[0-9]+$" . }}{{ . }}{{ else if contains ":" . }}{{ printf "[%s]:22" (trimAll "[]" .) }}{{ else }}{{ printf "%s:22" . }}{{ end -}}
{{- end -}}

{{/* The same without its port. */}}
{{- define "rds-csi.host" -}}
{{- regexReplaceAll ":[0-9]+$" (include "rds-csi.sshAddress" .) "" -}}
{{- end -}}

{{/* Storage addresses of an appliance, separated by spaces. */}}
{{- define "rds-csi.storageAddresses" -}}
{{- if .storageAddresses -}}
{{- $out := list -}}
{{- range .storageAddresses -}}
{{- $out = append $out (ternary . (ternary (printf "[%s]:4420" (trimAll "[]" .)) (printf "%s:4420" .) (contains ":" .)) (regexMatch "(^[^:]+|\\]):[0-9]+$" .)) -}}
{{- end -}}
{{- join " " $out -}}
{{- else -}}
{{- printf "%s:4420" (include "rds-csi.host" .address) -}}
{{- end -}}
{{- end -}}

{{/* All appliances as rds-backend reads them. */}}
{{- define "rds-csi.appliances" -}}
{{- $out := list -}}
{{- range .Values.appliances -}}
{{- $parts := list (printf "name=%s" (.name | default "rds1")) (printf "ssh=%s" (include "rds-csi.sshAddress" .address)) (printf "user=%s" (.user | default "csi")) -}}
{{- $parts = append $parts (printf "storage=%s" (include "rds-csi.storageAddresses" . | replace " " "+")) -}}
{{- $parts = append $parts (printf "dirs=%s" (.directories | default (list "/raid1/volumes") | join "+")) -}}
{{- $parts = append $parts (printf "reserve=%s" (.reserve | default "1Gi")) -}}
{{- with .channels }}{{ $parts = append $parts (printf "channels=%d" (int .)) }}{{ end -}}
{{- if .shared }}{{ $parts = append $parts "shared=yes" }}{{ end -}}
{{- if .hostLock }}{{ $parts = append $parts "host-lock=yes" }}{{ end -}}
{{- range splitList " " .hostKey }}{{ $parts = append $parts (printf "host-key=%s" .) }}{{ end -}}
{{- $out = append $out (join "," $parts) -}}
{{- end -}}
{{- join ";" $out -}}
{{- end -}}

