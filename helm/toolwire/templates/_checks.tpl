{{/* What no schema can say. */}}
{{- define "toolwire.check" -}}
{{- $problems := list -}}
{{- $parts := list "edge" "control" -}}
{{- if .Values.migrate.enabled -}}{{- $parts = append $parts "migrate" -}}{{- end -}}
{{- range list .Values.image .Values.dev.redis.image .Values.dev.postgresql.image -}}
{{- if regexMatch "@|:[^/]*$" (toString .repository) -}}
{{- $problems = append $problems (printf "image.repository=%v: write its tag into image.tag, its digest into image.digest." .repository) -}}
{{- end -}}
{{- end -}}
{{- range $name, $server := dict "redis" "Redis" "database" "PostgreSQL" -}}
{{- $without := list -}}
{{- $have := eq $name "redis" | ternary (without $parts "migrate") $parts -}}
{{- range $part := $have -}}
{{- $source := include "toolwire.source" (list $ $part $name) | mustFromJson -}}
{{- $at := eq $source.from "values" | ternary (printf "%s.url" $name) (printf "%s_URL in the extraEnv of %s" (upper $name) $part) -}}
{{- if not $source.from -}}
{{- $without = append $without $part -}}
{{- else if and $source.url (not (hasPrefix "$(" $source.url)) -}}
{{- with include "toolwire.check.url" (list $name $source.url) -}}
{{- $problems = append $problems (printf "%s%s" $at .) -}}
{{- end -}}
{{- with include "toolwire.check.files" (list $ $name $source.url) -}}
{{- $problems = append $problems (printf . $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $without -}}
{{- $for := lt (len .) (len $have) | ternary (printf "%s: " (join ", " .)) "" -}}
{{- $problems = append $problems (printf "%sname a %s: %s.existingSecret or %s.url. To try Toolwire, take values-dev.yaml, which brings one." $for $server $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $part := $parts -}}
{{- $problems = concat $problems (include "toolwire.check.volumes" (list $ $part) | fromYamlArray) -}}
{{- end -}}
{{- $problems = concat $problems (include "toolwire.check.tls" . | fromYamlArray) (include "toolwire.check.auth" . | fromYamlArray) (include "toolwire.check.sources" . | fromYamlArray) -}}
{{- if le (int64 .Values.edge.heartbeat.timeoutSeconds) (int64 .Values.edge.heartbeat.intervalSeconds) -}}
{{- $problems = append $problems "edge.heartbeat.timeoutSeconds must be longer than edge.heartbeat.intervalSeconds." -}}
{{- end -}}
{{- if gt (int64 .Values.control.callTimeout.defaultSeconds) (int64 .Values.control.callTimeout.maxSeconds) -}}
{{- $problems = append $problems "control.callTimeout.defaultSeconds must not be longer than control.callTimeout.maxSeconds." -}}
{{- end -}}
{{- range $part := list "edge" "control" -}}
{{- $problems = concat $problems (include "toolwire.check.part" (list $ $part) | fromYamlArray) -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- $problems = append $problems "gateway.enabled needs gateway.parentRefs: the Gateway that takes the route." -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\n%s\n" (uniq $problems | join "\n")) -}}
{{- end -}}
{{- end -}}

{{/* List of: `redis` or `database`, a URL. What is wrong with it, without a word of it: it may hold a password. */}}
{{- define "toolwire.check.url" -}}
{{- $url := index . 1 -}}
{{- $place := include "toolwire.url.place" . -}}
{{- $badPort := false -}}
{{- range include "toolwire.url.ports" . | mustFromJson -}}
{{- if not (or (contains "$(" .) (eq . "") (and (regexMatch "^[0-9]{1,5}$" .) (gt (atoi .) 0) (lt (atoi .) 65536))) -}}{{- $badPort = true -}}{{- end -}}
{{- end -}}
{{- if regexMatch "%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)" $url }} has a % without two hexadecimal digits: write it as %25.
{{- else if eq (index . 0) "redis" -}}
{{- $host := `(\[[^\]\s]+\]|[^\[\]:,/?#\s]+)(:[0-9]+)?` -}}
{{- $end := `(/[0-9]*)?(\?[^#\s]+)?$` -}}
{{- if not (regexMatch `^rediss?(\+sentinel)?://` $url) }} must begin with rediss:// or redis://, for Sentinel with rediss+sentinel:// or redis+sentinel://.
{{- else if regexMatch `(?s)\?.*@` $url }}: write a ? of the password as %3F, and an @ of parameters as %40.
{{- else if $badPort }} names a port that is not a number from 1 to 65535.
{{- else if contains "$(" $place -}}
{{- else if regexMatch `^rediss?\+` $url -}}
{{- if not (regexMatch (printf "^%s(,%s)*/[^/?#\\s]+%s" $host $host $end) $place) }} must be {{ regexFind "^[a-z]+" $url }}+sentinel://[user[:password]@]host[:port],host[:port]/name[/db].
{{- end -}}
{{- else if not (regexMatch (printf "^%s%s" $host $end) $place) }} must be {{ regexFind "^[a-z]+" $url }}://[user[:password]@]host[:port][/db]. Several hosts need redis+sentinel://.
{{- end -}}
{{- else -}}
{{- if not (regexMatch "^postgres(ql)?://" $url) }} must begin with postgresql://.
{{- else if regexMatch "^[^?]*@" $place }}: write a / of the password as %2F, and an @ as %40.
{{- else if and (regexMatch "^([/?]|$)" $place) (not (regexMatch "[?&]host" $place)) }} names no host.
{{- else if $badPort }} names a port that is not a number from 1 to 65535.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* List of: root, `edge`, `control` or `migrate`. What is wrong with its volumes, as a list. */}}
{{- define "toolwire.check.volumes" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $of := get $root.Values $part -}}
{{- $problems := list -}}
{{- $own := ne $part "migrate" | ternary (list "data") list -}}
{{- range include "toolwire.files" . | mustFromJson -}}{{- $own = append $own (printf "toolwire-%s" .name) -}}{{- end -}}
{{- $names := list -}}
{{- range include "toolwire.tpl" (list (concat $root.Values.extraVolumes $of.extraVolumes) $root) | fromYamlArray -}}
{{- $names = append $names .name -}}
{{- if has .name $own -}}
{{- $problems = append $problems (printf "%s: a volume of extraVolumes is called %s, as the chart's own is." $part .name) -}}
{{- end -}}
{{- end -}}
{{- range include "toolwire.tpl" (list (concat $root.Values.extraVolumeMounts $of.extraVolumeMounts) $root) | fromYamlArray -}}
{{- if not (has .name (concat $names $own)) -}}
{{- $problems = append $problems (printf "%s: extraVolumeMounts names %s, which is not in extraVolumes." $part .name) -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* List of: root, component. What is wrong, as a list. */}}
{{- define "toolwire.check.part" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $of := get $root.Values $part -}}
{{- $problems := list -}}
{{- $scaling := $of.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas must not be more than %s.autoscaling.maxReplicas." $part $part) -}}
{{- end -}}
{{- if not (or $scaling.cpuPercent $scaling.memoryPercent (get $scaling "sessions") $scaling.metrics) -}}
{{- $problems = append $problems (printf "%s.autoscaling has nothing to go by: set its cpuPercent, memoryPercent%s or metrics." $part (eq $part "edge" | ternary ", sessions" "")) -}}
{{- end -}}
{{- end -}}
{{- if lt (int64 (include "toolwire.gracePeriod" $of)) (int64 $of.preStopSeconds) -}}
{{- $problems = append $problems (printf "%s.terminationGracePeriodSeconds must not be shorter than %s.preStopSeconds." $part $part) -}}
{{- end -}}
{{- if and (eq $of.updateStrategy.type "OnDelete") (not $of.persistence.enabled) -}}
{{- $problems = append $problems (printf "%s.updateStrategy.type=OnDelete needs %s.persistence.enabled: a Deployment does not know it." $part $part) -}}
{{- end -}}
{{- $rolling := $of.updateStrategy.rollingUpdate -}}
{{- if and (eq $of.updateStrategy.type "RollingUpdate") (not $of.persistence.enabled) (regexMatch "^0+%?,0+%?$" (printf "%s,%s" (include "toolwire.scalar" (get $rolling "maxSurge")) (include "toolwire.scalar" (get $rolling "maxUnavailable")))) -}}
{{- $problems = append $problems (printf "%s.updateStrategy.rollingUpdate: maxSurge and maxUnavailable must not both be 0." $part) -}}
{{- end -}}
{{- $ports := dict -}}
{{- range $name, $port := $of.ports -}}
{{- if hasKey $ports (toString (int64 $port)) -}}
{{- $problems = append $problems (printf "%s.ports: %s and %s are the same." $part (get $ports (toString (int64 $port))) $name) -}}
{{- end -}}
{{- $_ := set $ports (toString (int64 $port)) $name -}}
{{- end -}}
{{- $meant := include "toolwire.meant" $part | fromYaml -}}
{{- $locks := include "toolwire.meantByLocks" (list $root $part) | fromYaml -}}
{{- range $flag, $_ := $of.flags -}}
{{- with get (merge dict $meant $locks) (trimPrefix "--" $flag) -}}
{{- $problems = append $problems (printf "%s.flags.%s: set %s." $part $flag .) -}}
{{- end -}}
{{- end -}}
{{- range concat $root.Values.extraEnv $of.extraEnv -}}
{{- $name := .name -}}
{{- with get $locks (.name | lower | replace "_" "-") -}}
{{- $problems = append $problems (printf "%s in the extraEnv of %s: set %s." $name $part .) -}}
{{- end -}}
{{- if eq .name "TOOLWIRE_POD_IP" -}}
{{- $problems = append $problems "extraEnv: TOOLWIRE_POD_IP is the chart's own." -}}
{{- else if has .name (list "PORT" "RELAY_PORT" "GRPC_PORT" "METRICS_PORT" "CONTROL_METRICS_PORT" "DRAIN_TIMEOUT" "TOOLWIRE_DATA_DIR") -}}
{{- with get $meant (.name | lower | replace "_" "-" | trimPrefix "toolwire-" | trimPrefix "control-") -}}
{{- $problems = append $problems (printf "%s in the extraEnv of %s: set %s." $name $part .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* List of: root, component. The same, where the values give a door its lock: two locks would contradict each other. */}}
{{- define "toolwire.meantByLocks" -}}
{{- $root := index . 0 -}}
{{- $edge := eq (index . 1) "edge" -}}
{{- $meant := dict -}}
{{- if include "toolwire.door" (list $root "links") -}}
{{- range list "link-tls-cert" "link-tls-key" "link-tls-ca" "plain-links" -}}{{- $_ := set $meant . "tls.links" -}}{{- end -}}
{{- end -}}
{{- if and $edge (include "toolwire.door" (list $root "agents")) -}}
{{- range list "tls-cert" "tls-key" "plain-agents" -}}{{- $_ := set $meant . "tls.agents" -}}{{- end -}}
{{- end -}}
{{- if and (not $edge) (include "toolwire.door" (list $root "callers")) -}}
{{- range list "grpc-tls-cert" "grpc-tls-key" "grpc-tls-client-ca" "plain-grpc" -}}{{- $_ := set $meant . "tls.callers" -}}{{- end -}}
{{- end -}}
{{- if and (not $edge) (include "toolwire.asksForTokens" $root) -}}
{{- range list "tokens-file" "no-tokens" -}}{{- $_ := set $meant . "auth.tokens" -}}{{- end -}}
{{- range list "jwks-file" "jwt-issuer" "jwt-audience" -}}{{- $_ := set $meant . "auth.jwt" -}}{{- end -}}
{{- end -}}
{{- toYaml $meant -}}
{{- end -}}

{{/* For a component, what sets a flag that other objects depend on, that would show a secret, or that no pod may have. */}}
{{- define "toolwire.meant" -}}
redis-url: redis.existingSecret or redis.url
database-url: database.existingSecret or database.url
database-required: database.existingSecret or database.url
listen: listen
drain-timeout: {{ . }}.drainSeconds
metrics-port: {{ . }}.ports.metrics
data-dir: {{ . }}.persistence and {{ . }}.spool
{{- if eq . "edge" }}
port: edge.ports.agents
relay-port: edge.ports.links
relay-address: RELAY_ADDRESS in edge.extraEnv
server-id: SERVER_ID in edge.extraEnv
old-channels: oldChannels
no-old-channels: oldChannels
{{- else }}
grpc-port: control.ports.callers
edge: redis.existingSecret or redis.url
{{- end }}
{{- end -}}
