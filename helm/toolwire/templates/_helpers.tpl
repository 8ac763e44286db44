{{/* A number that came as a float, such as 1e+06, also as text, as people write it; a bool as text; null as nothing. */}}
{{- define "toolwire.scalar" -}}
{{- $text := kindIs "invalid" . | ternary "" (toString .) -}}
{{- if regexMatch "^-?[0-9][0-9.]*e[+][0-9]+$" $text -}}{{- $text = regexReplaceAll "[.]?0+$" (printf "%f" (float64 $text)) "" -}}{{- end -}}
{{- $text -}}
{{- end -}}

{{/* List of: maps of which a later one counts more. For what is all text: labels, annotations. */}}
{{- define "toolwire.join" -}}
{{- $joined := dict -}}
{{- range . -}}{{- range $key, $value := . -}}{{- $_ := set $joined $key (include "toolwire.scalar" $value) -}}{{- end -}}{{- end -}}
{{- if $joined -}}{{- toYaml $joined -}}{{- end -}}
{{- end -}}

{{/* List of: a value that may hold templates, root. A password may have `{{` alone. */}}
{{- define "toolwire.tpl" -}}
{{- $text := index . 0 -}}
{{- if not (kindIs "string" $text) -}}{{- $text = toYaml $text -}}{{- end -}}
{{- if regexMatch "(?s){{.*}}" $text -}}{{- tpl $text (index . 1) -}}{{- else -}}{{- $text -}}{{- end -}}
{{- end -}}

{{/* A label of Kubernetes: 63 letters, digits, `-`, `_` and `.`. */}}
{{- define "toolwire.label" -}}
{{- regexReplaceAll "[^A-Za-z0-9_.-]" . "-" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{- define "toolwire.name" -}}
{{- include "toolwire.label" (include "toolwire.scalar" .Values.nameOverride) | default (include "toolwire.label" .Chart.Name) -}}
{{- end -}}

{{/* What every object's name begins with. A Service's name has no dots and begins with a letter. */}}
{{- define "toolwire.fullname" -}}
{{- $name := include "toolwire.tpl" (list (include "toolwire.scalar" .Values.fullnameOverride) .) -}}
{{- if not $name -}}
{{- $chart := include "toolwire.name" . -}}
{{- $name = contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) -}}
{{- end -}}
{{- $name = regexReplaceAll "[^a-z0-9-]" (lower $name) "-" | trimAll "-" -}}
{{- regexMatch "^[a-z]" $name | ternary $name (printf "tw-%s" $name | trimSuffix "-") -}}
{{- end -}}

{{/*
List of: root, ending. The name of one object, of at most 52 letters: a StatefulSet's pods bear it in a label with
eleven more. A longer one is cut, and a hash keeps two that differ at their ends apart.
*/}}
{{- define "toolwire.object" -}}
{{- $full := include "toolwire.fullname" (index . 0) -}}
{{- $end := eq (index . 1) "" | ternary "" (printf "-%s" (index . 1)) -}}
{{- $room := int (sub 52 (len $end)) -}}
{{- if gt (len $full) $room -}}
{{- $full = printf "%s-%s" (trunc (int (sub $room 7)) $full | trimSuffix "-") (sha256sum $full | trunc 6) -}}
{{- end -}}
{{- printf "%s%s" $full $end -}}
{{- end -}}

{{/* List of: root, component. These never change: a Deployment's selector cannot. */}}
{{- define "toolwire.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "toolwire.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 | quote }}
{{- end -}}

{{/* List of: root, component, more labels. */}}
{{- define "toolwire.labels" -}}
{{- $root := index . 0 -}}
{{- $chart := dict
  "app.kubernetes.io/version" (include "toolwire.label" $root.Chart.AppVersion)
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" "toolwire"
  "helm.sh/chart" (include "toolwire.label" (printf "%s-%s" $root.Chart.Name $root.Chart.Version)) -}}
{{- include "toolwire.join" (list $root.Values.commonLabels (index . 2) $chart (include "toolwire.selector" . | fromYaml)) -}}
{{- end -}}

{{/* List of: root, component, more labels. A pod has no label that changes with the chart's version alone. */}}
{{- define "toolwire.podLabels" -}}
{{- include "toolwire.join" (list (index . 0).Values.commonLabels (index . 2) (include "toolwire.selector" . | fromYaml)) -}}
{{- end -}}

{{/* List of: root, component, ending of the name, labels, annotations. */}}
{{- define "toolwire.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "toolwire.object" (list $root (index . 2)) | quote }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- include "toolwire.labels" (list $root (index . 1) (index . 3)) | nindent 2 }}
{{- with include "toolwire.join" (list $root.Values.commonAnnotations (index . 4)) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* List of: root, key. One of the parent chart's globals, which are not filled: other charts read them, too. */}}
{{- define "toolwire.global" -}}
{{- $global := (index . 0).Values.global -}}
{{- if kindIs "map" $global -}}{{- toJson (get $global (index . 1)) -}}{{- else -}}""{{- end -}}
{{- end -}}

{{/* List of: root, the image's values, default tag. */}}
{{- define "toolwire.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := include "toolwire.global" (list $root "imageRegistry") | mustFromJson | default $image.registry -}}
{{- $repository := include "toolwire.scalar" $image.repository -}}
{{- $name := empty $registry | ternary $repository (printf "%s/%s" (trimSuffix "/" (toString $registry)) $repository) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- $tag := include "toolwire.scalar" ($image.tag | default (index . 2)) -}}
{{- printf "%s%s%s" $name (hasPrefix "sha256:" $tag | ternary "@" ":") $tag -}}
{{- end -}}
{{- end -}}

{{- define "toolwire.pullSecrets" -}}
{{- $names := list -}}
{{- $global := include "toolwire.global" (list . "imagePullSecrets") | mustFromJson | default list -}}
{{- range concat $global .Values.image.pullSecrets -}}
{{- $names = append $names (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") .) -}}
{{- end -}}
{{- with compact $names | uniq -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "toolwire.serviceAccount" -}}
{{- $named := include "toolwire.tpl" (list (include "toolwire.scalar" .Values.serviceAccount.name) .) -}}
{{- $named | default (.Values.serviceAccount.create | ternary (include "toolwire.object" (list . "")) "default") -}}
{{- end -}}

{{- define "toolwire.openshift" -}}
{{- $is := toString .Values.openshift -}}
{{- if or (eq $is "true") (and (eq $is "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}true{{- end -}}
{{- end -}}

{{/*
List of: `name` or another key, lists of maps. One list without two of a name: the last one counts, where it stands, since
a variable may name others that stand before it.
*/}}
{{- define "toolwire.unique" -}}
{{- $key := index . 0 -}}
{{- $entries := list -}}
{{- range rest . -}}{{- $entries = concat $entries (. | default list) -}}{{- end -}}
{{- $seen := dict -}}
{{- $kept := list -}}
{{- range reverse $entries -}}
{{- if not (hasKey $seen (toString (get . $key))) -}}
{{- $_ := set $seen (toString (get . $key)) true -}}
{{- $kept = prepend $kept . -}}
{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{/* List of: lists of environment entries. */}}
{{- define "toolwire.env" -}}
{{- $kept := list -}}
{{- range include "toolwire.unique" (prepend . "name") | fromYamlArray -}}
{{- if not (get . "valueFrom") -}}
{{- $_ := unset . "valueFrom" -}}
{{- $_ := set . "value" (include "toolwire.scalar" (get . "value")) -}}
{{- end -}}
{{- $kept = append $kept . -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{/* A number, or a percentage. */}}
{{- define "toolwire.intOrPercent" -}}
{{- $text := include "toolwire.scalar" . -}}
{{- contains "%" $text | ternary (quote $text) (int64 $text) -}}
{{- end -}}

{{/* List of: root, `redis` or `database`. The URL that the values hold; empty if a Secret that is there has it. */}}
{{- define "toolwire.url" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- if not $of.existingSecret -}}
{{- if $of.url -}}
{{- /* A file that --set-file takes ends in a new line. */ -}}
{{- include "toolwire.tpl" (list (include "toolwire.scalar" $of.url) $root) | trim -}}
{{- else if and (eq (index . 1) "redis") $root.Values.dev.redis.enabled -}}
redis://{{ include "toolwire.object" (list $root "redis") }}:6379
{{- else if and (eq (index . 1) "database") $root.Values.dev.postgresql.enabled -}}
postgresql://toolwire:{{ include "toolwire.scalar" $root.Values.dev.postgresql.password | urlquery | replace "+" "%20" }}@{{ include "toolwire.object" (list $root "postgresql") }}:5432/toolwire
{{- end -}}
{{- end -}}
{{- end -}}

{{/* List of: root, `redis` or `database`, the Secret that the chart makes. The variable's entry, if there is a URL. */}}
{{- define "toolwire.urlEnv" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- $secret := index . 2 -}}
{{- $key := printf "%s-url" (index . 1) -}}
{{- if $of.existingSecret -}}
{{- $secret = include "toolwire.tpl" (list (include "toolwire.scalar" $of.existingSecret) $root) -}}
{{- $key = $of.existingSecretKey -}}
{{- else if not (include "toolwire.url" .) -}}
{{- $secret = "" -}}
{{- end -}}
{{- if $secret -}}
- name: {{ printf "%s_URL" (upper (index . 1)) }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ include "toolwire.scalar" $key | quote }}
{{- end -}}
{{- end -}}

{{/*
List of: root, `edge`, `control` or `migrate`, `redis` or `database`. What its pods have in the variable, as JSON:
`from` is `values`, `secret`, `extraEnvFrom`, `extraEnv`, or nothing; `url` is the text, where the values have it.
*/}}
{{- define "toolwire.source" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- $source := dict "from" "" "url" (include "toolwire.url" (list $root (index . 2))) -}}
{{- if (get $root.Values (index . 2)).existingSecret -}}
{{- $_ := set $source "from" "secret" -}}
{{- else if $source.url -}}
{{- $_ := set $source "from" "values" -}}
{{- else if concat $root.Values.extraEnvFrom $of.extraEnvFrom -}}
{{- $_ := set $source "from" "extraEnvFrom" -}}
{{- end -}}
{{- range include "toolwire.tpl" (list (concat $root.Values.extraEnv $of.extraEnv) $root) | fromYamlArray -}}
{{- if eq .name (printf "%s_URL" (upper (index $ 2))) -}}
{{- $source = dict "from" "extraEnv" "url" (empty (get . "valueFrom") | ternary (include "toolwire.scalar" (get . "value")) "") -}}
{{- if not (or (get . "valueFrom") $source.url) -}}{{- $_ := set $source "from" "" -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $source -}}
{{- end -}}

{{/* List of: root, `edge`, `control` or `migrate`, `redis` or `database`. Whether its server is one that the chart brings. */}}
{{- define "toolwire.brought" -}}
{{- $root := index . 0 -}}
{{- $dev := get $root.Values.dev (eq (index . 2) "redis" | ternary "redis" "postgresql") -}}
{{- if and $dev.enabled (not (get $root.Values (index . 2)).url) (eq (include "toolwire.source" . | mustFromJson).from "values") -}}true{{- end -}}
{{- end -}}

{{/*
List of: `redis` or `database`, a URL. What stands behind its scheme and login. A login ends where the server's own
reader ends it: for Redis at the last @, for PostgreSQL at the first one before a slash.
*/}}
{{- define "toolwire.url.place" -}}
{{- regexReplaceAll (eq (index . 0) "redis" | ternary "(?s)^[a-z+]+://(.*@)?" "^[a-z]+://([^@/]*@)?") (index . 1) "" -}}
{{- end -}}

{{/*
List of: `redis` or `database`, a URL. The ports of its hosts as it names them, as JSON; an empty one is the usual one.
`port=` behind PostgreSQL's question mark counts more than what stands beside the hosts.
*/}}
{{- define "toolwire.url.ports" -}}
{{- $place := include "toolwire.url.place" . -}}
{{- $named := eq (index . 0) "redis" | ternary "" (regexFind "[?&]port=[^&]*" $place) -}}
{{- $ports := list -}}
{{- if $named -}}
{{- $ports = splitList "," (regexReplaceAll "(?i)%2c" (regexReplaceAll "^.port=" $named "") ",") -}}
{{- else -}}
{{- range splitList "," (regexFind "^[^/?]*" $place) -}}
{{- $ports = append $ports (regexFind `:[^:\]]*$` . | trimPrefix ":") -}}
{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/*
List of: root, `edge`, `control` or `migrate`, `redis` or `database`. Where a policy lets it: the ports of the values, or
of its URL, where the values have it; the usual one otherwise.
*/}}
{{- define "toolwire.egress.ports" -}}
{{- $of := index . 2 -}}
{{- $usual := eq $of "redis" | ternary "6379" "5432" -}}
{{- $ports := get (index . 0).Values.networkPolicy.egress (printf "%sPorts" $of) -}}
{{- if not $ports -}}
{{- $url := (include "toolwire.source" . | mustFromJson).url -}}
{{- /* Sentinels name the master, which the URL does not. */ -}}
{{- $sentinel := regexMatch `^rediss?\+` $url -}}
{{- range include "toolwire.url.ports" (list $of $url) | mustFromJson -}}
{{- $ports = append $ports (regexMatch "^[0-9]+$" . | ternary (toString (atoi .)) ($sentinel | ternary "26379" $usual)) -}}
{{- end -}}
{{- if $sentinel -}}{{- $ports = append $ports $usual -}}{{- end -}}
{{- end -}}
{{- range $ports | uniq }}
- {protocol: TCP, port: {{ int64 . }}}
{{- end -}}
{{- end -}}

{{/* List of: what all have, and what this one has over it. */}}
{{- define "toolwire.securityContext" -}}
{{- $all := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}{{- $_ := set $all $key $value -}}{{- end -}}
{{- if $all -}}{{- toYaml $all -}}{{- end -}}
{{- end -}}
