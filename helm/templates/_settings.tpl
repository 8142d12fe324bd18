{{/* What the program is told: everything but the keys and the label. */}}
{{- define "azul-backup.settings" -}}
{{- $levels := dict "WARNING" "WARN" "FATAL" "ERROR" -}}
BK__MODE: {{ .Values.mode | quote }}
BK__DISPATCHER_EVENTS: {{ .Values.dispatcher.events | quote }}
{{- with .Values.dispatcher.streams }}
BK__DISPATCHER_STREAMS: {{ . | quote }}
{{- end }}
BK__EXTERNAL_BACKUP__ENDPOINT: {{ .Values.externalS3Endpoint | quote }}
BK__EXTERNAL_BACKUP__SECURE: {{ .Values.externalS3Secure | toString | quote }}
{{- with .Values.bucketRegion }}
BK__EXTERNAL_BACKUP__REGION: {{ . | quote }}
{{- end }}
{{- with .Values.externalS3Bucket }}
BK__EXTERNAL_BACKUP__BUCKET: {{ . | quote }}
{{- end }}
BK__EXTERNAL_BACKUP__AES_STATE: {{ .Values.aesState | quote }}
BK__BUCKET_NAME_PREFIX: {{ .Values.bucketNamePrefix | quote }}
BK__SOURCES: |-
  sources:
    {{- toYaml .Values.sources | nindent 4 }}
BK__LOCAL_DATA__ROOTDIR: {{ include "azul-backup.rootdir" . | quote }}
BK__METRICS_LISTEN: {{ .Values.metrics.listen | quote }}
{{- range $stage := list "events" "cache" "streams" "state" }}
BK__STAGE_{{ upper $stage }}: {{ get $.Values.stages $stage | quote }}
{{- end }}
{{- if eq .Values.mode "restore" }}
BK__RESTORE_TYPE: {{ .Values.restoreType | quote }}
{{- else }}
BK__EVENT_BATCH_SIZE: {{ .Values.backup.eventBatchSize | int64 | quote }}
BK__JOURNAL_MAX_BYTES: {{ .Values.backup.journalMaxBytes | quote }}
{{- end }}
{{- with .Values.proxy.http }}
HTTP_PROXY: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.https }}
HTTPS_PROXY: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.noProxy }}
NO_PROXY: {{ . | quote }}
{{- end }}
BED__LOG_LEVEL: {{ get $levels .Values.logLevel | default .Values.logLevel | quote }}
BED__LOG_PRETTY: {{ .Values.logPretty | quote }}
{{- end -}}

{{/* The same with what stands in `env`: what the ConfigMap holds. */}}
{{- define "azul-backup.settingsOf" -}}
{{ include "azul-backup.settings" . }}
{{- range $name, $value := .Values.env }}
{{ $name }}: {{ include "azul-backup.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A text, number or truth value as text. A whole number stays one: what is read from a file of values is a float, and of a
     million would become 1e+06. */}}
{{- define "azul-backup.text" -}}
{{- if and (kindIs "float64" .) (eq (int64 . | float64) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* Where the volume of local state is mounted. */}}
{{- define "azul-backup.rootdir" -}}
/data
{{- end -}}

{{/* Which value sets a variable; what stands in `env` must not. */}}
{{- define "azul-backup.setBy" -}}
BK__MODE: mode
BK__DISPATCHER_EVENTS: dispatcher.events
BK__DISPATCHER_STREAMS: dispatcher.streams
BK__BACKUP_ID: label
BK__BUCKET_NAME_PREFIX: bucketNamePrefix
BK__EXTERNAL_BACKUP__ENDPOINT: externalS3Endpoint
BK__EXTERNAL_BACKUP__SECURE: externalS3Secure
BK__EXTERNAL_BACKUP__REGION: bucketRegion
BK__EXTERNAL_BACKUP__BUCKET: externalS3Bucket
BK__EXTERNAL_BACKUP__AES_STATE: aesState
BK__EXTERNAL_BACKUP__AES_KEY: secrets.backupS3Keys
BK__EXTERNAL_BACKUP__ACCESS_KEY: secrets.backupS3Keys
BK__EXTERNAL_BACKUP__SECRET_KEY: secrets.backupS3Keys
BK__SOURCES: sources
BK__METRICS_LISTEN: metrics.listen
BK__STAGE_EVENTS: stages.events
BK__STAGE_CACHE: stages.cache
BK__STAGE_STREAMS: stages.streams
BK__STAGE_STATE: stages.state
BK__RESTORE_TYPE: restoreType
BK__EVENT_BATCH_SIZE: backup.eventBatchSize
BK__JOURNAL_MAX_BYTES: backup.journalMaxBytes
BED__LOG_LEVEL: logLevel
BED__LOG_PRETTY: logPretty
BK__LOCAL_DATA__ROOTDIR: backup.volume or restore.volume
HTTP_PROXY: proxy.http or secrets.proxy
http_proxy: proxy.http or secrets.proxy
HTTPS_PROXY: proxy.https or secrets.proxy
https_proxy: proxy.https or secrets.proxy
NO_PROXY: proxy.noProxy
no_proxy: proxy.noProxy
SSL_CERT_FILE: CACertificateConfigMap
TMPDIR: tmp
{{- end -}}
