{{/* A pod of the program. Takes root, component, label, args, resources, claim (empty: local state
     that goes with the pod), and serves: whether this command answers at the metrics port. */}}

{{- define "azul-backup.podMetadata" -}}
labels:
  {{- include "azul-backup.podSelectorLabels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: azul-backup
  checksum/settings: {{ include "azul-backup.settingsOf" .root | sha256sum }}
  {{- if and .serves .root.Values.metrics.scrapeAnnotations (not .root.Values.metrics.podMonitor.enabled) }}
  prometheus.io/scrape: "true"
  prometheus.io/path: /metrics
  prometheus.io/port: {{ include "azul-backup.metricsPort" .root | quote }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "azul-backup.podSpec" -}}
{{- $values := .root.Values -}}
# The program speaks to the dispatcher and to the bucket, never to the cluster; and variables of services only look like settings.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
terminationGracePeriodSeconds: {{ include "azul-backup.gracePeriodSeconds" .root }}
securityContext:
  runAsNonRoot: true
  {{- with $values.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with $values.runAsGroup }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  {{- with $values.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: azul-backup
    image: {{ include "azul-backup.image" .root | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      capabilities:
        drop: [ALL]
      seccompProfile:
        type: RuntimeDefault
    envFrom:
      - configMapRef:
          name: {{ include "azul-backup.fullname" .root }}
    env:
      {{- include "azul-backup.env" . | nindent 6 }}
    {{- if .serves }}
    ports:
      - name: metrics
        containerPort: {{ include "azul-backup.metricsPort" .root }}
    {{- include "azul-backup.probes" . | nindent 4 }}
    {{- end }}
    {{- with .resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - name: local-data
        mountPath: {{ include "azul-backup.rootdir" .root }}
      - name: tmp
        mountPath: /tmp
      {{- if $values.CACertificateConfigMap }}
      - name: ca-certificates
        mountPath: /etc/azul-backup/ca
        readOnly: true
      {{- end }}
volumes:
  - name: local-data
    {{- if .claim }}
    persistentVolumeClaim:
      claimName: {{ .claim }}
    {{- else }}
    emptyDir:
      sizeLimit: 100Mi
    {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: {{ $values.tmp | quote }}
  {{- if $values.CACertificateConfigMap }}
  - name: ca-certificates
    configMap:
      name: {{ $values.CACertificateConfigMap }}
      items:
        - key: ca.crt
          path: ca.crt
  {{- end }}
{{- end -}}

{{- define "azul-backup.env" -}}
- name: BK__BACKUP_ID
  value: {{ .label | quote }}
{{- $keys := dict "BK__EXTERNAL_BACKUP__ACCESS_KEY" "access_key" "BK__EXTERNAL_BACKUP__SECRET_KEY" "secret_key" }}
{{- if ne .root.Values.aesState "disabled" }}
{{- $_ := set $keys "BK__EXTERNAL_BACKUP__AES_KEY" "aeskey" }}
{{- end }}
- name: TMPDIR
  value: /tmp
{{- range $variable, $key := $keys }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $.root.Values.secrets.backupS3Keys }}
      key: {{ $key }}
{{- end }}
{{- with .root.Values.secrets.proxy }}
- name: HTTP_PROXY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: http
- name: HTTPS_PROXY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: https
{{- end }}
{{- if .root.Values.CACertificateConfigMap }}
- name: SSL_CERT_FILE
  value: /etc/azul-backup/ca/ca.crt
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Starting may take minutes, with much local state to go through; after that the program ends itself when it hangs for a
     minute, and kubelet is the second net. */}}
{{- define "azul-backup.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 6
{{- if eq .component "backup" }}
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}
{{- end -}}
