{{/* What the schema cannot say, or not clearly. Fails with one sentence. */}}
{{- define "azul-backup.check" -}}
{{- if not .Values.dispatcher.events -}}
{{- fail "\n\ndispatcher.events is not set: the base URL of Azul's dispatcher, such as http://dp-plugin-events:8111\n" -}}
{{- end -}}
{{- if not .Values.externalS3Endpoint -}}
{{- fail "\n\nexternalS3Endpoint is not set: host[:port] of the S3 server of the backup; not the one that Azul itself uses\n" -}}
{{- end -}}
{{- if not .Values.sources -}}
{{- fail "\n\nsources is empty: at least one source is needed, as Azul's own chart lists them\n" -}}
{{- end -}}
{{- if not .Values.image.repository -}}
{{- fail "\n\nimage.repository is not set: there is no public image; build it with docker build, push it to a registry of yours, and name it here, such as registry.example.org/azul-backup\n" -}}
{{- end -}}
{{- range (include "azul-backup.backupLabels" . | fromJson).labels -}}
{{- $bucket := printf "%s%s-streams" $.Values.bucketNamePrefix . -}}
{{- if gt (len $bucket) 63 -}}
{{- fail (printf "\n\nbucketNamePrefix and label: `%s` has more than the 63 characters that a bucket's name may have\n" $bucket) -}}
{{- end -}}
{{- end -}}
{{- range (include "azul-backup.backupLabels" . | fromJson).labels -}}
{{- $name := printf "%s-%s-%s" (include "azul-backup.fullname" $) $.Values.mode . -}}
{{- if eq $.Values.mode "restore" -}}
{{- $name = printf "%s-%s" $name $.Values.restore.run -}}
{{- end -}}
{{- if gt (len $name) 63 -}}
{{- fail (printf "\n\nthe name `%s` has more than 63 characters: shorten it by fullnameOverride\n" $name) -}}
{{- end -}}
{{- end -}}
{{- include "azul-backup.checkEnv" . -}}
{{- if eq .Values.mode "backup" -}}
{{- include "azul-backup.checkBackup" . -}}
{{- end -}}
{{- end -}}

{{- define "azul-backup.checkBackup" -}}
{{- if ne .Values.aesState "disabled" -}}
{{- fail (printf "\n\naesState: `%s` is for a restore only: a backup with encryption comes with a later version; leave it disabled\n" .Values.aesState) -}}
{{- end -}}
{{- if .Values.externalS3Bucket -}}
{{- fail "\n\nexternalS3Bucket is for a restore only: a backup into one bucket comes with a later version; leave it empty\n" -}}
{{- end -}}
{{- $needed := include "azul-backup.volumeBytes" . | int64 -}}
{{- if not (and .Values.backup.volume.existingClaim (eq 1 (len (include "azul-backup.backupLabels" . | fromJson).labels))) -}}
{{- $size := include "azul-backup.bytes" (dict "name" "backup.volume.size" "text" .Values.backup.volume.size) | int64 -}}
{{- if lt $size $needed -}}
{{- fail (printf "\n\nbackup.volume.size: `%v` is too small: %d MiB can be needed with backup.journalMaxBytes %s, backup.eventBatchSize %v and these sources; with less a very large answer may hold up all feeds. Enlarge it, or make one of these smaller\n" .Values.backup.volume.size (add 1 (div $needed 1048576)) .Values.backup.journalMaxBytes .Values.backup.eventBatchSize) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azul-backup.checkEnv" -}}
{{- $setBy := include "azul-backup.setBy" . | fromYaml -}}
{{- $seen := dict -}}
{{- range $name, $value := .Values.env -}}
{{- $variable := replace "." "__" $name -}}
{{- with get $setBy $variable -}}
{{- fail (printf "\n\nenv: %s is set by the chart, from %s: use that\n" $name .) -}}
{{- end -}}
{{- if hasKey $seen $variable -}}
{{- fail (printf "\n\nenv: %s and %s are the same setting\n" (get $seen $variable) $name) -}}
{{- end -}}
{{- $_ := set $seen $variable $name -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- $variable := replace "." "__" .name -}}
{{- $name := .name -}}
{{- with get $setBy $variable -}}
{{- fail (printf "\n\nextraEnv: %s is set by the chart, from %s: use that\n" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
