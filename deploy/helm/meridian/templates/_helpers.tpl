{{- define "meridian.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods: never changes between releases. */}}
{{- define "meridian.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "meridian.labels" -}}
{{ include "meridian.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* meridian.json: the config of the values, and what belongs to the pod. */}}
{{- define "meridian.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.routes -}}
{{- fail "config.routes is empty: the gateway would not start. Say where requests go, see docs/kubernetes.md" -}}
{{- end -}}
{{- $listen := deepCopy (default (dict) $config.listen) -}}
{{- if $listen.addresses -}}
{{- fail "config.listen.addresses is written by the chart: the pod listens on 8080" -}}
{{- end -}}
{{- $_ := set $listen "addresses" (list (dict "port" 8080)) -}}
{{- $_ := set $config "listen" $listen -}}
{{- $token := dict "file" (printf "/run/secrets/meridian/%s" .Values.admin.secretKey) -}}
{{- $_ := set $config "admin" (dict "address" "0.0.0.0" "port" 9090 "token" $token) -}}
{{- $_ := set $config "shutdown" (dict "delay" (printf "%ds" (int .Values.drain.delaySeconds)) "drain" (printf "%ds" (int .Values.drain.drainSeconds))) -}}
{{- if .Values.redis.url -}}
{{- $redis := dict "url" .Values.redis.url -}}
{{- if .Values.redis.existingSecret -}}
{{- $_ := set $redis "password" (dict "file" (printf "/run/secrets/redis/%s" .Values.redis.secretKey)) -}}
{{- end -}}
{{- $_ := set $config "redis" $redis -}}
{{- end -}}
{{- toPrettyJson $config -}}
{{- end -}}
