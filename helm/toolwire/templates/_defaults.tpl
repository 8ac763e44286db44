{{/*
Every template begins with `include "toolwire.init" .`. It fills .Values where a value is missing, null or an empty
string, so that templates read values without asking whether they are there: `helm upgrade --reuse-values` gives a new
chart the values of an old one, and people write nulls. A switch that is missing is off, an optional map or list empty.
*/}}
{{- define "toolwire.init" -}}
{{- if not (hasKey .Values "x-filled") -}}
{{- $defaults := include "toolwire.defaults" . | fromYaml -}}
{{- $pods := include "toolwire.defaults.pods" . | fromYaml -}}
{{- range list "edge" "control" -}}
{{- $_ := set $defaults . (merge (get $defaults .) (deepCopy $pods)) -}}
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
{{- else if or (kindIs "invalid" $value) (eq (toString $value) "") (and (kindIs "slice" $default) (not (kindIs "slice" $value))) -}}
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
openshift: auto
podSecurityContext: {}
securityContext: {}
serviceAccount: {create: false, name: "", annotations: {}, automountToken: false}
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
  enabled: false
  backoffLimit: 3
  activeDeadlineSeconds: ""
  serviceAccountName: ""
  resources: {}
  extraEnv: []
  annotations: {}
  podAnnotations: {}
  podLabels: {}
  nodeSelector: {}
  tolerations: []
  affinity: {}
  priorityClassName: ""
ingress: {enabled: false, className: "", annotations: {}, labels: {}, hosts: [], path: /, pathType: Exact, tls: []}
gateway: {enabled: false, parentRefs: [], hostnames: [], path: /, pathType: Exact, timeouts: {}, filters: [], annotations: {}, labels: {}}
networkPolicy:
  enabled: false
  agents: {from: []}
  callers: {namespaces: [], from: []}
  metrics: {namespaces: []}
  egress: {redisPorts: [], redisTo: [], databasePorts: [], databaseTo: [], extra: []}
monitoring:
  serviceMonitor: {enabled: false, labels: {}, annotations: {}, interval: 30s, scrapeTimeout: "", relabelings: [], metricRelabelings: []}
  prometheusRule: {enabled: false, labels: {}, annotations: {}, alertLabels: {}, extraRules: []}
test: {enabled: false, timeoutSeconds: 180, podAnnotations: {}, podLabels: {}, nodeSelector: {}, tolerations: [], resources: {}}
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
resources: {}
autoscaling: {enabled: false, minReplicas: 2, maxReplicas: 10, cpuPercent: "", memoryPercent: "", metrics: [], behavior: {}}
podDisruptionBudget: {enabled: false, maxUnavailable: 1}
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
{{- $names := list -}}
{{- range concat .Values.extraEnv .Values.edge.extraEnv -}}{{- $names = append $names .name -}}{{- end -}}
{{- $from := concat .Values.extraEnvFrom .Values.edge.extraEnvFrom -}}
{{- $problems := list -}}
{{- if not (or .Values.redis.url .Values.redis.existingSecret .Values.dev.redis.enabled (has "REDIS_URL" $names) $from) -}}
{{- $problems = append $problems "name a Redis: redis.existingSecret or redis.url. To try Toolwire, take values-dev.yaml, which brings one." -}}
{{- end -}}
{{- if not (or .Values.database.url .Values.database.existingSecret .Values.dev.postgresql.enabled (has "DATABASE_URL" $names) $from) -}}
{{- $problems = append $problems "name a PostgreSQL: database.existingSecret or database.url. To try Toolwire, take values-dev.yaml, which brings one." -}}
{{- end -}}
{{- if and .Values.redis.url (not (hasPrefix "redis://" (tpl .Values.redis.url .))) -}}
{{- $problems = append $problems "redis.url must begin with redis://. This version speaks to one Redis, without TLS." -}}
{{- end -}}
{{- if and .Values.database.url (not (regexMatch "^postgres(ql)?://" (tpl .Values.database.url .))) -}}
{{- $problems = append $problems "database.url must begin with postgresql://." -}}
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
{{- $scaling := (get $.Values $part).autoscaling -}}
{{- if and $scaling.enabled (gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas)) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas must not be more than %s.autoscaling.maxReplicas." $part $part) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- $problems = append $problems "gateway.enabled needs gateway.parentRefs: the Gateway that takes the route." -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\n%s\n" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}
