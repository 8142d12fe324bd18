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
{{- include "azul-backup.checkProxy" . -}}
{{- include "azul-backup.checkMetrics" . -}}
{{- include "azul-backup.checkKeys" . -}}
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

{{- define "azul-backup.checkProxy" -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.s3.enabled) -}}
{{- $value := ternary "proxy.https" "proxy.http" (eq (toString .Values.externalS3Secure) "true") -}}
{{- if not (or .Values.secrets.proxy (get .Values.proxy (trimPrefix "proxy." $value))) -}}
{{- fail (printf "\n\nnetworkPolicy.s3.enabled: false leaves no way to the S3 server, for neither %s nor secrets.proxy names a proxy: narrow networkPolicy.s3.to instead\n" $value) -}}
{{- end -}}
{{- end -}}
{{- if .Values.secrets.proxy -}}
{{- if or .Values.proxy.http .Values.proxy.https -}}
{{- fail "\n\nsecrets.proxy names the proxies already: leave proxy.http and proxy.https empty\n" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.proxy.ports) -}}
{{- fail "\n\nnetworkPolicy.proxy.ports is empty: the chart does not see the ports that are in secrets.proxy\n" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azul-backup.checkMetrics" -}}
{{- $listen := .Values.metrics.listen -}}
{{- if not (regexMatch "^(0\\.0\\.0\\.0|\\[::\\]):[1-9]" $listen) -}}
{{- fail (printf "\n\nmetrics.listen: `%s` is not accepted; accepted: 0.0.0.0 or [::], with a port: probes and Prometheus come to the address of the pod, which nobody knows beforehand\n" $listen) -}}
{{- end -}}
{{- if gt (include "azul-backup.metricsPort" . | int) 65535 -}}
{{- fail (printf "\n\nmetrics.listen: `%s` is not accepted; accepted: a port up to 65535\n" $listen) -}}
{{- end -}}
{{- $monitor := .Values.metrics.podMonitor -}}
{{- $timeout := include "azul-backup.milliseconds" (dict "name" "metrics.podMonitor.scrapeTimeout" "text" $monitor.scrapeTimeout) | int64 -}}
{{- $interval := include "azul-backup.milliseconds" (dict "name" "metrics.podMonitor.interval" "text" $monitor.interval) | int64 -}}
{{- if gt $timeout $interval -}}
{{- fail (printf "\n\nmetrics.podMonitor.scrapeTimeout: `%s` is longer than the interval, %s: Prometheus would not take the PodMonitor\n" $monitor.scrapeTimeout $monitor.interval) -}}
{{- end -}}
{{- end -}}

{{/* Labels and annotations that are the chart's own. */}}
{{- define "azul-backup.checkKeys" -}}
{{- $selected := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "azul-backup/label" -}}
{{- $all := concat $selected (list "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of" "helm.sh/chart") -}}
{{- $annotations := list "kubectl.kubernetes.io/default-container" "checksum/settings" "helm.sh/hook" "helm.sh/hook-delete-policy" -}}
{{- if and .Values.metrics.scrapeAnnotations (not .Values.metrics.podMonitor.enabled) -}}
{{- $annotations = concat $annotations (list "prometheus.io/scrape" "prometheus.io/path" "prometheus.io/port") -}}
{{- end -}}
{{- $kept := list "helm.sh/resource-policy" "argocd.argoproj.io/sync-options" -}}
{{- range list
  (list "podLabels" .Values.podLabels $selected)
  (list "podAnnotations" .Values.podAnnotations $annotations)
  (list "backup.volume.annotations" .Values.backup.volume.annotations $kept)
  (list "restore.volume.annotations" .Values.restore.volume.annotations $kept)
  (list "metrics.podMonitor.labels" .Values.metrics.podMonitor.labels $all)
  (list "metrics.prometheusRule.labels" .Values.metrics.prometheusRule.labels $all)
  (list "metrics.dashboard.labels" .Values.metrics.dashboard.labels $all)
-}}
{{- $value := first . -}}
{{- $own := last . -}}
{{- range $key := keys (index . 1) | sortAlpha -}}
{{- if has $key $own -}}
{{- fail (printf "\n\n%s: `%s` is set by the chart: leave it out\n" $value $key) -}}
{{- end -}}
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
