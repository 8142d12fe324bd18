{{/* Names and labels. */}}

{{- define "azul-backup.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that pods are selected by: what stands here can never change. */}}
{{- define "azul-backup.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "azul-backup.labels" -}}
{{ include "azul-backup.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: azul
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What tells the pods of one label and component from all others. Takes root, component, label. */}}
{{- define "azul-backup.podSelectorLabels" -}}
{{ include "azul-backup.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
azul-backup/label: {{ .label | quote }}
{{- end -}}

{{/* The labels of the backups that run side by side, as JSON. */}}
{{- define "azul-backup.backupLabels" -}}
{{- $labels := list .Values.label -}}
{{- if and .Values.nextBackupLabel (ne .Values.nextBackupLabel .Values.label) -}}
{{- $labels = append $labels .Values.nextBackupLabel -}}
{{- end -}}
{{- dict "labels" $labels | toJson -}}
{{- end -}}

{{- define "azul-backup.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "azul-backup.metricsPort" -}}
{{- regexFind "[0-9]+$" .Values.metrics.listen -}}
{{- end -}}
