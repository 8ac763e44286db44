{{/* What differs between edge and control. */}}

{{/* List of: root, component. Variables that are the same for each of its pods. */}}
{{- define "toolwire.config" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
LISTEN: {{ $root.Values.listen | quote }}
LOG_LEVEL: {{ $root.Values.log.level | quote }}
LOG_FORMAT: {{ $root.Values.log.format | quote }}
TOOLWIRE_DATA_DIR: /data
DATABASE_REQUIRED: "true"
DATABASE_CONNECTIONS_MAX: {{ int64 $root.Values.database.connectionsMax | quote }}
DRAIN_TIMEOUT: {{ mul (int64 $of.drainSeconds) 1000 | quote }}
{{- if eq (index . 1) "edge" }}
METRICS_PORT: {{ int64 $of.ports.metrics | quote }}
PORT: {{ int64 $of.ports.agents | quote }}
RELAY_PORT: {{ int64 $of.ports.links | quote }}
HEARTBEAT_INTERVAL: {{ mul (int64 $of.heartbeat.intervalSeconds) 1000 | quote }}
HEARTBEAT_TIMEOUT: {{ mul (int64 $of.heartbeat.timeoutSeconds) 1000 | quote }}
IO_THREADS: {{ int64 $of.ioThreads | quote }}
OLD_CHANNELS: {{ $root.Values.oldChannels | quote }}
{{- else }}
CONTROL_METRICS_PORT: {{ int64 $of.ports.metrics | quote }}
GRPC_PORT: {{ int64 $of.ports.callers | quote }}
{{- end }}
{{- with include "toolwire.fileEnv" . }}
{{ . }}
{{- end }}
{{- end -}}

{{/* List of: root, component. Flags without a variable. Each door that the values give no lock is said to be open. */}}
{{- define "toolwire.args" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- $flags := dict -}}
{{- range include "toolwire.open" . | mustFromJson -}}{{- $_ := set $flags . true -}}{{- end -}}
{{- if eq (index . 1) "control" -}}
{{- $_ := set $flags "call-timeout-default" (mul (int64 $of.callTimeout.defaultSeconds) 1000) -}}
{{- $_ := set $flags "call-timeout-max" (mul (int64 $of.callTimeout.maxSeconds) 1000) -}}
{{- $_ := set $flags "grpc-threads" (int64 $of.grpcThreads) -}}
{{- range $key, $flag := dict "leewaySeconds" "jwt-leeway" "lifetimeMaxSeconds" "jwt-lifetime-max" -}}
{{- with include "toolwire.scalar" (get $root.Values.auth.jwt $key) -}}{{- $_ := set $flags $flag (mul (int64 .) 1000) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $of.flags -}}{{- $_ := set $flags (trimPrefix "--" $name) $value -}}{{- end -}}
{{- $args := list -}}
{{- range $name, $value := $flags -}}
{{- $text := include "toolwire.scalar" $value -}}
{{- if eq $text "true" -}}
{{- $args = append $args (printf "--%s" $name) -}}
{{- else if not (has $text (list "" "false")) -}}
{{- $args = append $args (printf "--%s=%s" $name $text) -}}
{{- end -}}
{{- end -}}
{{- toYaml $args -}}
{{- end -}}

{{- define "toolwire.ports" -}}
{{- range $name, $port := . }}
- {name: {{ $name }}, containerPort: {{ int64 $port }}, protocol: TCP}
{{- end }}
{{- end -}}

{{/*
List of: root, component, which probe. A kubelet checks no certificate, and knows no gRPC with TLS: there it looks whether
the callers' port is open, and lives on what answers at the port of metrics.
*/}}
{{- define "toolwire.probe" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- $probe := omit (get $of (index . 2)) "enabled" -}}
{{- if not (or (hasKey $probe "httpGet") (hasKey $probe "tcpSocket") (hasKey $probe "grpc") (hasKey $probe "exec")) -}}
{{- if eq (index . 1) "edge" -}}
{{- $get := dict "path" "/health" "port" "agents" -}}
{{- if include "toolwire.speaksTls" (list $root "agents") -}}{{- $_ := set $get "scheme" "HTTPS" -}}{{- end -}}
{{- $_ := set $probe "httpGet" $get -}}
{{- else if not (include "toolwire.speaksTls" (list $root "callers")) -}}
{{- $_ := set $probe "grpc" (dict "port" (int64 $of.ports.callers)) -}}
{{- else if eq (index . 2) "livenessProbe" -}}
{{- $_ := set $probe "httpGet" (dict "path" "/metrics" "port" "metrics") -}}
{{- else -}}
{{- $_ := set $probe "tcpSocket" (dict "port" "callers") -}}
{{- end -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{/* A component's values. What a stop may take: waiting, draining, and callers' streams and the audit log after it. */}}
{{- define "toolwire.stopSeconds" -}}
{{- add (int64 .preStopSeconds) (int64 .drainSeconds) 15 -}}
{{- end -}}

{{/* A component's values. 0 is a number of seconds, too. */}}
{{- define "toolwire.gracePeriod" -}}
{{- int64 (include "toolwire.scalar" .terminationGracePeriodSeconds | default (include "toolwire.stopSeconds" .)) -}}
{{- end -}}

{{/*
List of: root, a pod's values, what its security context begins with. What each pod of Toolwire's image has: how it is
pulled, as whom it runs, where it goes.
*/}}
{{- define "toolwire.podBase" -}}
{{- $root := index . 0 -}}
{{- $of := index . 1 -}}
enableServiceLinks: false
{{- with include "toolwire.pullSecrets" $root }}
{{ . }}
{{- end }}
{{- with include "toolwire.securityContext" (list (index . 2) $of.podSecurityContext) }}
securityContext:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "toolwire.join" (list $of.nodeSelector) }}
nodeSelector:
  {{- include "toolwire.tpl" (list . $root) | nindent 2 }}
{{- end }}
{{- range $key := list "tolerations" "affinity" "hostAliases" "dnsConfig" }}
{{- with get $of $key }}
{{ $key }}:
  {{- include "toolwire.tpl" (list . $root) | nindent 2 }}
{{- end }}
{{- end }}
{{- range $key := list "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" }}
{{- with include "toolwire.scalar" (get $of $key) }}
{{ $key }}: {{ include "toolwire.tpl" (list . $root) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* List of: root, its values, lists of its mounts. What each container of Toolwire's image has behind its environment. */}}
{{- define "toolwire.containerEnd" -}}
{{- $root := index . 0 -}}
{{- $of := index . 1 -}}
{{- with $of.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "toolwire.securityContext" (list $root.Values.securityContext $of.securityContext) }}
securityContext:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "toolwire.unique" (prepend (index . 2) "mountPath") | fromYamlArray }}
volumeMounts:
  {{- include "toolwire.tpl" (list . $root) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The image of Toolwire. */}}
{{- define "toolwire.ownImage" -}}
image: {{ include "toolwire.image" (list . .Values.image .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* List of: root, its values. Variables from elsewhere: a server's ConfigMap comes after them, and counts more. */}}
{{- define "toolwire.envFrom" -}}
{{- with concat (index . 0).Values.extraEnvFrom (index . 1).extraEnvFrom -}}
{{- include "toolwire.tpl" (list . (index $ 0)) -}}
{{- end -}}
{{- end -}}

{{/* List of: root, component. */}}
{{- define "toolwire.spread" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- if $of.topologySpreadConstraints -}}
topologySpreadConstraints:
  {{- include "toolwire.tpl" (list $of.topologySpreadConstraints $root) | nindent 2 }}
{{- else if $of.topologySpread.topologyKeys -}}
topologySpreadConstraints:
{{- range $of.topologySpread.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . | quote }}
    whenUnsatisfiable: {{ $of.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "toolwire.selector" $ | nindent 8 }}
    {{- if not $of.persistence.enabled }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* List of: root, component. */}}
{{- define "toolwire.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $of := get $root.Values $part -}}
{{- $urls := include "toolwire.object" (list $root "urls") -}}
{{- $config := list (include "toolwire.config" .) (include "toolwire.url" (list $root "redis")) (include "toolwire.url" (list $root "database")) -}}
metadata:
  labels:
    {{- include "toolwire.podLabels" (list $root $part $of.podLabels) | nindent 4 }}
  annotations:
    {{- include "toolwire.join" (list $of.podAnnotations (dict "checksum/config" (toJson $config | sha256sum))) | nindent 4 }}
spec:
  serviceAccountName: {{ include "toolwire.serviceAccount" $root | quote }}
  automountServiceAccountToken: {{ $root.Values.serviceAccount.automountToken }}
  terminationGracePeriodSeconds: {{ include "toolwire.gracePeriod" $of }}
  {{- $security := deepCopy $root.Values.podSecurityContext }}
  {{- if and $of.persistence.enabled (not (include "toolwire.openshift" $root)) (not (hasKey $security "fsGroup")) }}
  {{- $_ := set $security "fsGroup" 65532 }}
  {{- end }}
  {{- include "toolwire.podBase" (list $root $of $security) | nindent 2 }}
  {{- with include "toolwire.spread" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $of.extraInitContainers }}
  initContainers:
    {{- include "toolwire.tpl" (list . $root) | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $part }}
      {{- include "toolwire.ownImage" $root | nindent 6 }}
      command: [/usr/bin/toolwire-{{ $part }}]
      args:
        {{- include "toolwire.args" . | nindent 8 }}
      envFrom:
        {{- with include "toolwire.envFrom" (list $root $of) }}
        {{- . | nindent 8 }}
        {{- end }}
        - configMapRef:
            name: {{ include "toolwire.object" (list $root $part) | quote }}
      env:
        {{- $own := list }}
        {{- if eq $part "edge" }}
        {{- $own = append $own (dict "name" "SERVER_ID" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) }}
        {{- $own = append $own (dict "name" "TOOLWIRE_POD_IP" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP"))) }}
        {{- /* In brackets, which an IPv6 address needs and an IPv4 address may have. The name is nobody else's. */}}
        {{- $own = append $own (dict "name" "RELAY_ADDRESS" "value" (printf "[$(TOOLWIRE_POD_IP)]:%d" (int64 $of.ports.links))) }}
        {{- end }}
        {{- range list "redis" "database" }}
        {{- $own = concat $own (include "toolwire.urlEnv" (list $root . $urls) | fromYamlArray) }}
        {{- end }}
        {{- $extra := include "toolwire.tpl" (list (concat $root.Values.extraEnv $of.extraEnv) $root) | fromYamlArray }}
        {{- include "toolwire.env" (list $own $extra) | nindent 8 }}
      ports:
        {{- include "toolwire.ports" $of.ports | nindent 8 }}
      {{- range $kind := list "startupProbe" "livenessProbe" "readinessProbe" }}
      {{- $probe := get $of $kind }}
      {{- if and $probe (ne (toString $probe.enabled) "false") }}
      {{ $kind }}:
        {{- include "toolwire.probe" (list $root $part $kind) | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- if gt (int64 $of.preStopSeconds) 0 }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ int64 $of.preStopSeconds }}
      {{- end }}
      {{- $data := dict "name" "data" "mountPath" "/data" }}
      {{- include "toolwire.containerEnd" (list $root $of (list (list $data) (include "toolwire.fileMounts" . | fromYamlArray) $root.Values.extraVolumeMounts $of.extraVolumeMounts)) | nindent 6 }}
    {{- with $of.extraContainers }}
    {{- include "toolwire.tpl" (list . $root) | nindent 4 }}
    {{- end }}
  {{- $volumes := include "toolwire.unique" (list "name" (include "toolwire.fileVolumes" . | fromYamlArray) $root.Values.extraVolumes $of.extraVolumes) | fromYamlArray }}
  {{- if not $of.persistence.enabled }}
  {{- $limit := include "toolwire.scalar" $of.spool.sizeLimit }}
  {{- $volumes = prepend $volumes (dict "name" "data" "emptyDir" (empty $limit | ternary dict (dict "sizeLimit" $limit))) }}
  {{- end }}
  {{- with $volumes }}
  volumes:
    {{- include "toolwire.tpl" (list . $root) | nindent 4 }}
  {{- end }}
{{- end -}}
