{{/*
Every template begins with `include "toolwire.init" .`. It fills .Values where a value is missing, null or an empty
string, so that templates read values without asking whether they are there: `helm upgrade --reuse-values` gives a new
chart the values of an old one, and people write nulls. A switch is then what values.yaml says, and so is what a pod may
do; an optional map or list is empty.
*/}}
{{- define "toolwire.init" -}}
{{- if not (hasKey .Values "x-filled") -}}
{{- $defaults := include "toolwire.defaults" . | fromYaml -}}
{{- $pods := include "toolwire.defaults.pods" . | fromYaml -}}
{{- $placing := include "toolwire.defaults.placing" . | fromYaml -}}
{{- range list "edge" "control" -}}
{{- $_ := set $defaults . (merge (get $defaults .) (deepCopy $pods) (deepCopy $placing)) -}}
{{- end -}}
{{- range list "migrate" "test" -}}
{{- $_ := set $defaults . (merge (get $defaults .) (deepCopy $placing)) -}}
{{- end -}}
{{- include "toolwire.prune" (omit .Values "global") -}}
{{- include "toolwire.fill" (list .Values $defaults) -}}
{{- include "toolwire.check" . -}}
{{- $_ := set .Values "x-filled" true -}}
{{- end -}}
{{- end -}}

{{/* Takes nulls out of maps, at any depth: helm does so only for keys that values.yaml has. */}}
{{- define "toolwire.prune" -}}
{{- if kindIs "map" . -}}
{{- range $key, $value := . -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $ $key -}}
{{- else if or (kindIs "map" $value) (kindIs "slice" $value) -}}{{- include "toolwire.prune" $value -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range . -}}{{- if or (kindIs "map" .) (kindIs "slice" .) -}}{{- include "toolwire.prune" . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "toolwire.fill" -}}
{{- $values := index . 0 -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if kindIs "map" $default -}}
{{- if not (kindIs "map" $value) -}}
{{- $value = dict -}}
{{- $_ := set $values $key $value -}}
{{- end -}}
{{- include "toolwire.fill" (list $value $default) -}}
{{- else if kindIs "slice" $default -}}
{{- if empty $value -}}{{- $_ := set $values $key $default -}}{{- end -}}
{{- else if or (kindIs "invalid" $value) (eq (toString $value) "") -}}
{{- $_ := set $values $key $default -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "toolwire.defaults" -}}
nameOverride: ""
fullnameOverride: ""
commonLabels: {}
commonAnnotations: {}
image: {registry: "", repository: toolwire, tag: "", digest: "", pullPolicy: IfNotPresent, pullSecrets: []}
redis: {url: "", existingSecret: "", existingSecretKey: redis-url}
database: {url: "", existingSecret: "", existingSecretKey: database-url, connectionsMax: 4}
oldChannels: true
listen: 0.0.0.0
log: {level: info, format: json}
tls: {mode: "off"}
auth: {tokens: {existingSecret: ""}, jwt: {}}
extraEnv: []
extraEnvFrom: []
extraVolumes: []
extraVolumeMounts: []
openshift: auto
podSecurityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
serviceAccount: {create: true, name: "", annotations: {}, automountToken: false}
edge:
  ports: {agents: 8082, links: 50052, metrics: 9090}
  heartbeat: {intervalSeconds: 30, timeoutSeconds: 90}
  ioThreads: 1
  service: {port: 8082, appProtocol: ""}
  autoscaling: {sessions: ""}
control:
  ports: {callers: 50051, metrics: 9091}
  callTimeout: {defaultSeconds: 60, maxSeconds: 600}
  grpcThreads: 1
  service: {port: 50051, appProtocol: ""}
migrate:
  enabled: true
  timeoutSeconds: 60
  backoffLimit: 2
  activeDeadlineSeconds: ""
  serviceAccountName: ""
  annotations: {}
  extraEnv: []
  extraEnvFrom: []
  extraVolumes: []
  extraVolumeMounts: []
  extraContainers: []
  extraInitContainers: []
ingress: {enabled: false, className: "", annotations: {}, labels: {}, hosts: [], path: /, pathType: Exact, tls: []}
gateway: {enabled: false, parentRefs: [], hostnames: [], path: /, pathType: Exact, timeouts: {}, filters: [], annotations: {}, labels: {}}
networkPolicy:
  enabled: true
  agents: {from: []}
  callers: {namespaces: [], from: []}
  metrics: {namespaces: []}
  egress: {redisPorts: [], redisTo: [], databasePorts: [], databaseTo: [], extra: []}
monitoring:
  serviceMonitor: {enabled: false, labels: {}, annotations: {}, interval: 30s, scrapeTimeout: "", relabelings: [], metricRelabelings: []}
  prometheusRule: {enabled: false, labels: {}, annotations: {}, alertLabels: {}, extraRules: []}
test: {enabled: true, timeoutSeconds: 180}
dev:
  redis: {enabled: false, image: {registry: docker.io, repository: library/redis, tag: "7", digest: ""}}
  postgresql: {enabled: false, password: toolwire, image: {registry: docker.io, repository: library/postgres, tag: "16", digest: ""}}
extraObjects: []
{{- end -}}

{{/* Of edge and control alike. */}}
{{- define "toolwire.defaults.pods" -}}
replicas: 2
flags: {}
drainSeconds: 10
preStopSeconds: 5
terminationGracePeriodSeconds: ""
service:
  type: ClusterIP
  nodePort: ""
  annotations: {}
  labels: {}
  loadBalancerClass: ""
  loadBalancerSourceRanges: []
  externalTrafficPolicy: ""
  ipFamilyPolicy: ""
  ipFamilies: []
persistence: {enabled: false, size: 2Gi, storageClass: "", accessModes: [ReadWriteOnce], annotations: {}}
spool: {sizeLimit: ""}
autoscaling: {enabled: false, keepReplicas: false, minReplicas: 2, maxReplicas: 10, cpuPercent: "", memoryPercent: "", metrics: [], behavior: {}}
podDisruptionBudget: {enabled: true, maxUnavailable: 1}
topologySpread: {topologyKeys: [], whenUnsatisfiable: ScheduleAnyway}
topologySpreadConstraints: []
updateStrategy: {type: RollingUpdate, rollingUpdate: {}}
revisionHistoryLimit: 5
minReadySeconds: 0
startupProbe: {}
livenessProbe: {}
readinessProbe: {}
extraEnv: []
extraEnvFrom: []
extraVolumes: []
extraVolumeMounts: []
extraContainers: []
extraInitContainers: []
annotations: {}
labels: {}
{{- end -}}

{{/* Of each pod of Toolwire's image. */}}
{{- define "toolwire.defaults.placing" -}}
resources: {}
podAnnotations: {}
podLabels: {}
podSecurityContext: {}
securityContext: {}
nodeSelector: {}
tolerations: []
affinity: {}
priorityClassName: ""
runtimeClassName: ""
schedulerName: ""
hostAliases: []
dnsPolicy: ""
dnsConfig: {}
{{- end -}}

{{/* What no schema can say. */}}
{{- define "toolwire.check" -}}
{{- $problems := list -}}
{{- $parts := list "edge" "control" -}}
{{- if .Values.migrate.enabled -}}{{- $parts = append $parts "migrate" -}}{{- end -}}
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
{{- if not (has (toString .Values.tls.mode) (list "off" "false")) -}}
{{- $problems = append $problems (printf "tls.mode=%v: this version has no TLS. Leave it at off, and let an Ingress or a Gateway end TLS for agents." .Values.tls.mode) -}}
{{- end -}}
{{- if or .Values.auth.tokens.existingSecret .Values.auth.jwt -}}
{{- $problems = append $problems "auth: this version checks no tokens of callers. Leave auth.tokens.existingSecret and auth.jwt empty; networkPolicy.callers says who reaches the callers' port." -}}
{{- end -}}
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
{{- if eq (index . 0) "redis" -}}
{{- $place := regexReplaceAll "(?s)^redis://(.*@)?" $url "" -}}
{{- if not (hasPrefix "redis://" $url) }} must begin with redis://. This version speaks to one Redis, without TLS.
{{- else if not (or (contains "$(" $place) (regexMatch `^(\[[^\]]+\]|[^\[\]:,/?#]+)(:[0-9]+)?(/[0-9]*)?$` $place)) }} must be redis://[user[:password]@]host[:port][/db]. This version speaks to one Redis.
{{- end -}}
{{- else -}}
{{- $place := regexReplaceAll "^[a-z]+://([^@/]*@)?" $url "" -}}
{{- if not (regexMatch "^postgres(ql)?://" $url) }} must begin with postgresql://.
{{- else if regexMatch "^[^?]*@" $place }}: write a / of the password as %2F, and an @ as %40.
{{- else if and (regexMatch "^([/?]|$)" $place) (not (regexMatch "[?&]host" $place)) }} names no host.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* List of: root, `edge`, `control` or `migrate`. What is wrong with its volumes, as a list. */}}
{{- define "toolwire.check.volumes" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $of := get $root.Values $part -}}
{{- $problems := list -}}
{{- $names := list -}}
{{- range include "toolwire.tpl" (list (concat $root.Values.extraVolumes $of.extraVolumes) $root) | fromYamlArray -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if ne $part "migrate" -}}
{{- if has "data" $names -}}
{{- $problems = append $problems (printf "%s: a volume of extraVolumes is called data, as the chart's own is." $part) -}}
{{- end -}}
{{- $names = append $names "data" -}}
{{- end -}}
{{- range include "toolwire.tpl" (list (concat $root.Values.extraVolumeMounts $of.extraVolumeMounts) $root) | fromYamlArray -}}
{{- if not (has .name $names) -}}
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
{{- if lt (int64 (include "toolwire.gracePeriod" (list $root $of))) (int64 $of.preStopSeconds) -}}
{{- $problems = append $problems (printf "%s.terminationGracePeriodSeconds must not be shorter than %s.preStopSeconds." $part $part) -}}
{{- end -}}
{{- if and (eq $of.updateStrategy.type "OnDelete") (not $of.persistence.enabled) -}}
{{- $problems = append $problems (printf "%s.updateStrategy.type=OnDelete needs %s.persistence.enabled: a Deployment does not know it." $part $part) -}}
{{- end -}}
{{- $rolling := $of.updateStrategy.rollingUpdate -}}
{{- if and (eq $of.updateStrategy.type "RollingUpdate") (regexMatch "^0+%?,0+%?$" (printf "%s,%s" (include "toolwire.scalar" (get $rolling "maxSurge")) (include "toolwire.scalar" (get $rolling "maxUnavailable")))) -}}
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
{{- range $flag, $_ := $of.flags -}}
{{- with get $meant (trimPrefix "--" $flag) -}}
{{- $problems = append $problems (printf "%s.flags.%s: set %s." $part $flag .) -}}
{{- end -}}
{{- end -}}
{{- range concat $root.Values.extraEnv $of.extraEnv -}}
{{- $name := .name -}}
{{- if eq .name "TOOLWIRE_POD_IP" -}}
{{- $problems = append $problems "extraEnv: TOOLWIRE_POD_IP is the chart's own." -}}
{{- else if has .name (list "PORT" "RELAY_PORT" "GRPC_PORT" "METRICS_PORT" "DRAIN_TIMEOUT" "TOOLWIRE_DATA_DIR") -}}
{{- with get $meant (.name | lower | replace "_" "-" | trimPrefix "toolwire-") -}}
{{- $problems = append $problems (printf "%s in the extraEnv of %s: set %s." $name $part .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* For a component, what sets a flag that other objects depend on, that would show a secret, or that no pod may have. */}}
{{- define "toolwire.meant" -}}
redis-url: redis.existingSecret or redis.url
database-url: database.existingSecret or database.url
database-required: database.existingSecret or database.url
listen: listen
insecure: tls.mode
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
