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
{{- $_ := set $defaults.tls "generated" (merge $defaults.tls.generated (deepCopy $placing)) -}}
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
{{- if and (kindIs "map" $value) (regexMatch "(ecurityContext|resources|Probe|rollingUpdate|behavior|timeouts)$" $key) -}}
{{- include "toolwire.plain" $value -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range . -}}{{- if or (kindIs "map" .) (kindIs "slice" .) -}}{{- include "toolwire.prune" . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* A map that the API is given as it is, where it takes no empty text, and no text for a number or a switch. */}}
{{- define "toolwire.plain" -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}{{- include "toolwire.plain" $value -}}
{{- else if eq (toString $value) "" -}}{{- $_ := unset $ $key -}}
{{- else if regexMatch "^(0|[1-9][0-9]*)$" (toString $value) -}}{{- $_ := set $ $key (int64 $value) -}}
{{- else if has $value (list "true" "false") -}}{{- $_ := set $ $key (eq $value "true") -}}
{{- end -}}
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
{{- else if and (kindIs "bool" $default) (kindIs "string" $value) -}}{{- $_ := set $values $key (eq $value "true") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "toolwire.defaults" -}}
nameOverride: ""
fullnameOverride: ""
commonLabels: {}
commonAnnotations: {}
image: {registry: "", repository: toolwire, tag: "", digest: "", pullPolicy: IfNotPresent, pullSecrets: []}
redis:
  url: ""
  existingSecret: ""
  existingSecretKey: redis-url
  ca: {existingSecret: "", existingConfigMap: "", key: ca.crt}
  clientCertificate: {existingSecret: ""}
database:
  url: ""
  existingSecret: ""
  existingSecretKey: database-url
  ca: {existingSecret: "", existingConfigMap: "", key: ca.crt}
  connectionsMax: 4
oldChannels: true
listen: 0.0.0.0
log: {level: info, format: json}
tls:
  mode: "off"
  agents:
    enabled: true
    existingSecret: ""
    names: []
    serverName: ""
    publicCa: false
    issuerRef: {name: "", kind: Issuer, group: cert-manager.io}
    ticketKeys: {existingSecret: "", existingSecretKey: ticket-keys}
  callers:
    enabled: true
    existingSecret: ""
    names: []
    serverName: ""
    publicCa: false
    issuerRef: {name: "", kind: Issuer, group: cert-manager.io}
    clientCertificates: false
    clientCa: {existingSecret: "", existingConfigMap: "", key: ca.crt}
  links:
    enabled: true
    edgeSecret: ""
    controlSecret: ""
    ca: {existingSecret: "", existingConfigMap: "", key: ca.crt}
    issuerRef: {name: "", kind: Issuer, group: cert-manager.io}
  certManager:
    issuerRef: {name: "", kind: Issuer, group: cert-manager.io}
    duration: 2160h
    renewBefore: 720h
    algorithm: ECDSA
    size: ""
  generated: {days: 3650, backoffLimit: 2, serviceAccountName: "", annotations: {}}
auth:
  tokens: {existingSecret: "", existingSecretKey: tokens, lines: []}
  jwt:
    existingSecret: ""
    existingConfigMap: ""
    key: jwks.json
    issuer: ""
    audience: ""
    scopeClaim: ""
    scopePrefix: ""
    userClaim: ""
    leewaySeconds: ""
    lifetimeMaxSeconds: ""
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
ingress: {enabled: false, controller: "", className: "", annotations: {}, labels: {}, hosts: [], path: /, pathType: Exact, tls: []}
gateway:
  enabled: false
  parentRefs: []
  hostnames: []
  path: /
  pathType: Exact
  timeouts: {}
  filters: []
  backendTls: {enabled: true, apiVersion: gateway.networking.k8s.io/v1, caConfigMap: ""}
  annotations: {}
  labels: {}
networkPolicy:
  enabled: true
  agents: {from: []}
  callers: {namespaces: [], from: []}
  metrics: {namespaces: []}
  egress: {redisPorts: [], redisTo: [], databasePorts: [], databaseTo: [], apiServerPorts: [443, 6443], extra: []}
monitoring:
  serviceMonitor: {enabled: false, labels: {}, annotations: {}, interval: 30s, scrapeTimeout: "", relabelings: [], metricRelabelings: []}
  prometheusRule: {enabled: false, labels: {}, annotations: {}, alertLabels: {}, extraRules: []}
test:
  enabled: true
  token: {existingSecret: "", existingSecretKey: token}
  certificateSecret: ""
  timeoutSeconds: 180
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
