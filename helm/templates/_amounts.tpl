{{/* Durations and sizes as numbers, so that the chart can reckon with them. */}}

{{/* Milliseconds of a duration such as 500ms or 1m30s. Takes name, text. */}}
{{- define "azul-backup.milliseconds" -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$" .text) -}}
{{- fail (printf "\n\n%s: `%s` is not accepted; accepted: a duration such as 500ms, 15s, 1m30s\n" .name .text) -}}
{{- end -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-z]+" .text -1 -}}
{{- $count := regexFind "^[0-9.]+" . | float64 -}}
{{- $sum = addf $sum (mulf $count (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- ceil $sum | int64 -}}
{{- end -}}

{{/* Bytes of a size as the program writes it (512MiB) or as Kubernetes does (5Gi). Takes name, text. */}}
{{- define "azul-backup.bytes" -}}
{{- $text := .text | toString | lower -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)? ?([kmgt]i?)?b?$" $text) -}}
{{- fail (printf "\n\n%s: `%v` is not accepted; accepted: a size such as 512MiB, 5Gi\n" .name .text) -}}
{{- end -}}
{{- $units := dict "" 1 "k" 1000 "m" 1000000 "g" 1000000000 "t" 1000000000000 "ki" 1024 "mi" 1048576 "gi" 1073741824 "ti" 1099511627776 -}}
{{- $count := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := regexFind "[kmgt]i?" $text -}}
{{- mulf $count (get $units $unit) | int64 -}}
{{- end -}}

{{/* Milliseconds of all four stages of a stop. */}}
{{- define "azul-backup.stagesMilliseconds" -}}
{{- $sum := 0 -}}
{{- range $stage := list "events" "cache" "streams" "state" -}}
{{- $name := printf "stages.%s" $stage -}}
{{- $part := include "azul-backup.milliseconds" (dict "name" $name "text" (get $.Values.stages $stage)) | int64 -}}
{{- if gt $part 3600000 -}}
{{- fail (printf "\n\n%s: `%s` is not accepted; accepted: at most 1h\n" $name (get $.Values.stages $stage)) -}}
{{- end -}}
{{- $sum = add $sum $part -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* All stages, the 2 s after which the program ends itself by force, and 5 s for kubelet and container runtime. */}}
{{- define "azul-backup.gracePeriodSeconds" -}}
{{- add (ceil (divf (include "azul-backup.stagesMilliseconds" . | int64) 1000.0) | int64) 2 5 -}}
{{- end -}}

{{/* Bytes that the volume of a backup can need: journal, one more answer of the largest size (3 MiB an event, at most 1000
     events), what is kept free, the reserve for a full disk (2 MiB a feed, at least 16 MiB); and a twentieth for the file
     system itself. */}}
{{- define "azul-backup.volumeBytes" -}}
{{- $feeds := 2 -}}
{{- range $name, $source := .Values.sources -}}
{{- if not (eq (toString (default dict $source).exclude_from_backup) "true") -}}
{{- $feeds = add $feeds 5 -}}
{{- end -}}
{{- end -}}
{{- $mib := 1048576 -}}
{{- $journal := include "azul-backup.bytes" (dict "name" "backup.journalMaxBytes" "text" .Values.backup.journalMaxBytes) | int64 -}}
{{- $answer := mul (min 1000 .Values.backup.eventBatchSize) 3 $mib -}}
{{- $reserve := mul (max 16 (mul 2 $feeds)) $mib -}}
{{- $needed := add $journal $answer (mul 32 $mib) $reserve -}}
{{- add $needed (div $needed 20) -}}
{{- end -}}
