{{/* Which door has TLS, of which certificate, and what pods find of it and of tokens under /etc/toolwire. */}}

{{- define "toolwire.tlsMode" -}}
{{- $mode := toString .Values.tls.mode -}}
{{- eq $mode "false" | ternary "off" $mode -}}
{{- end -}}

{{/* List of: root, `agents`, `callers` or `links`. Whether `tls` gives it TLS. */}}
{{- define "toolwire.door" -}}
{{- $root := index . 0 -}}
{{- if and (ne (include "toolwire.tlsMode" $root) "off") (get $root.Values.tls (index . 1)).enabled -}}true{{- end -}}
{{- end -}}

{{/* Whether callers must show tokens, by `auth`. */}}
{{- define "toolwire.asksForTokens" -}}
{{- $auth := .Values.auth -}}
{{- if or $auth.tokens.existingSecret $auth.tokens.lines $auth.jwt.existingSecret $auth.jwt.existingConfigMap -}}true{{- end -}}
{{- end -}}

{{/* List of: root, component. Flags that its `flags` or `extraEnv` give, as JSON. */}}
{{- define "toolwire.given" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- $given := list -}}
{{- range $name, $value := $of.flags -}}
{{- if not (has (include "toolwire.scalar" $value) (list "" "false")) -}}{{- $given = append $given (trimPrefix "--" $name) -}}{{- end -}}
{{- end -}}
{{- range concat $root.Values.extraEnv $of.extraEnv -}}{{- $given = append $given (.name | lower | replace "_" "-") -}}{{- end -}}
{{- toJson $given -}}
{{- end -}}

{{/* List of: root, `agents` or `callers`. Whether that port speaks TLS, by `tls` or by what its component is given. */}}
{{- define "toolwire.speaksTls" -}}
{{- $part := eq (index . 1) "agents" | ternary "edge" "control" -}}
{{- $flag := eq (index . 1) "agents" | ternary "tls-cert" "grpc-tls-cert" -}}
{{- if or (include "toolwire.door" .) (has $flag (include "toolwire.given" (list (index . 0) $part) | mustFromJson)) -}}true{{- end -}}
{{- end -}}

{{/* List of: root, component. The flags by which its doors without a lock are said to have none, as JSON. */}}
{{- define "toolwire.open" -}}
{{- $root := index . 0 -}}
{{- $given := include "toolwire.given" . | mustFromJson -}}
{{- $open := list -}}
{{- if eq (index . 1) "edge" -}}
{{- if not (or (include "toolwire.door" (list $root "agents")) (has "tls-cert" $given) (has "trusted-proxies" $given)) -}}
{{- $open = append $open "plain-agents" -}}
{{- end -}}
{{- else -}}
{{- if not (or (include "toolwire.asksForTokens" $root) (has "tokens-file" $given) (has "jwks-file" $given)) -}}
{{- $open = append $open "no-tokens" -}}
{{- end -}}
{{- if not (include "toolwire.speaksTls" (list $root "callers")) -}}{{- $open = append $open "plain-grpc" -}}{{- end -}}
{{- end -}}
{{- if not (or (include "toolwire.door" (list $root "links")) (has "link-tls-cert" $given)) -}}
{{- $open = append $open "plain-links" -}}
{{- end -}}
{{- toJson $open -}}
{{- end -}}

{{/*
List of: root, `agents`, `callers`, `edge` and `control` (of their links), or `caller` (whom helm's test is). The Secret
with its certificate, and the keys in it, as JSON; `from` is `secret`, `certManager`, `generated` or nothing.
*/}}
{{- define "toolwire.certificate" -}}
{{- $root := index . 0 -}}
{{- $which := index . 1 -}}
{{- $tls := $root.Values.tls -}}
{{- $mode := include "toolwire.tlsMode" $root -}}
{{- $named := dict "agents" $tls.agents.existingSecret "callers" $tls.callers.existingSecret "edge" $tls.links.edgeSecret
  "control" $tls.links.controlSecret "caller" $root.Values.test.certificateSecret -}}
{{- $found := dict "from" "" "secret" "" "crt" "tls.crt" "key" "tls.key" -}}
{{- if get $named $which -}}
{{- $_ := set $found "from" "secret" -}}
{{- $_ := set $found "secret" (include "toolwire.tpl" (list (include "toolwire.scalar" (get $named $which)) $root)) -}}
{{- else if eq $mode "certManager" -}}
{{- $_ := set $found "from" $mode -}}
{{- $_ := set $found "secret" (include "toolwire.object" (list $root (printf "tls-%s" $which))) -}}
{{- else if eq $mode "generated" -}}
{{- $file := eq $which "callers" | ternary "control" $which -}}
{{- $found = dict "from" $mode "secret" (include "toolwire.object" (list $root "tls")) "crt" (printf "%s.crt" $file) "key" (printf "%s.key" $file) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* List of: root, component. The names of its Services, as pods of any namespace write them, as JSON. */}}
{{- define "toolwire.serviceNames" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- range eq (index . 1) "edge" | ternary (list "edge") (list "control" "control-headless") -}}
{{- $name := include "toolwire.object" (list $root .) -}}
{{- range list "" (printf ".%s" $root.Release.Namespace) (printf ".%s.svc" $root.Release.Namespace) (printf ".%s.svc.cluster.local" $root.Release.Namespace) -}}
{{- $names = append $names (printf "%s%s" $name .) -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* List of: root, `agents` or `callers`. The names that `tls` wants in its certificate, as JSON. */}}
{{- define "toolwire.tlsNames" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- range (get $root.Values.tls (index . 1)).names -}}{{- $names = append $names (include "toolwire.tpl" (list (toString .) $root)) -}}{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* List of: root, `agents` or `callers`. The name that clients inside of the cluster check in its certificate. */}}
{{- define "toolwire.serverName" -}}
{{- $root := index . 0 -}}
{{- $of := get $root.Values.tls (index . 1) -}}
{{- $names := include "toolwire.tlsNames" . | mustFromJson -}}
{{- $service := include "toolwire.object" (list $root (eq (index . 1) "agents" | ternary "edge" "control")) -}}
{{- if $of.serverName -}}
{{- include "toolwire.tpl" (list (include "toolwire.scalar" $of.serverName) $root) -}}
{{- else if and $names (or $of.publicCa $of.existingSecret) -}}
{{- first $names -}}
{{- else -}}
{{- printf "%s.%s.svc" $service $root.Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/*
List of: a name, root, values that name a Secret or a ConfigMap and a key in it, the file. One entry of `toolwire.files`,
as JSON; nothing if the values name none.
*/}}
{{- define "toolwire.file" -}}
{{- $root := index . 1 -}}
{{- $of := index . 2 -}}
{{- with $of.existingSecret | default (get $of "existingConfigMap") -}}
{{- $kind := empty $of.existingSecret | ternary "configMap" "secret" -}}
{{- toJson (dict "name" (index $ 0) "kind" $kind "object" (include "toolwire.tpl" (list (include "toolwire.scalar" .) $root))
  "items" (dict (include "toolwire.scalar" (get $of "key" | default $of.existingSecretKey)) (index $ 3)) "optional" false) -}}
{{- end -}}
{{- end -}}

{{/*
List of: root, `edge`, `control`, `migrate` or `test`. What its pods find under /etc/toolwire, as JSON: a directory's
`name`, the `kind` of its source and the `object`, its `items` (keys to files), and whether it is `optional`.
*/}}
{{- define "toolwire.files" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $values := $root.Values -}}
{{- $tls := $values.tls -}}
{{- $files := list -}}
{{- $entries := list -}}
{{- range $name, $which := eq $part "edge" | ternary (dict "agents" "agents" "links" "edge") (eq $part "control" | ternary (dict "callers" "callers" "links" "control") dict) -}}
{{- if include "toolwire.door" (list $root $name) -}}
{{- $certificate := include "toolwire.certificate" (list $root $which) | mustFromJson -}}
{{- $items := dict $certificate.crt "tls.crt" $certificate.key "tls.key" -}}
{{- if and (eq $name "links") (not (or $tls.links.ca.existingSecret $tls.links.ca.existingConfigMap)) -}}{{- $_ := set $items "ca.crt" "ca.crt" -}}{{- end -}}
{{- $files = append $files (dict "name" $name "kind" "secret" "object" $certificate.secret "items" $items "optional" false) -}}
{{- if eq $name "links" -}}{{- $entries = append $entries (include "toolwire.file" (list "links-ca" $root $tls.links.ca "ca.crt")) -}}{{- end -}}
{{- if and (eq $name "agents") $tls.agents.ticketKeys.existingSecret -}}
{{- $entries = append $entries (include "toolwire.file" (list "ticket-keys" $root $tls.agents.ticketKeys "keys")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if has $part (list "control" "test") -}}
{{- range $name := eq $part "test" | ternary (list "agents" "callers") (list "callers") -}}
{{- if and (include "toolwire.door" (list $root $name)) (not (get $tls $name).publicCa) -}}
{{- $certificate := include "toolwire.certificate" (list $root $name) | mustFromJson -}}
{{- $files = append $files (dict "name" (printf "%s-ca" $name) "kind" "secret" "object" $certificate.secret "items" (dict "ca.crt" "ca.crt") "optional" true) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $part "control") (include "toolwire.clientCa" $root) -}}
{{- $files = append $files (include "toolwire.clientCa" $root | mustFromJson) -}}
{{- end -}}
{{- if eq $part "control" -}}
{{- if $values.auth.tokens.lines -}}
{{- $files = append $files (dict "name" "tokens" "kind" "secret" "object" (include "toolwire.object" (list $root "tokens")) "items" (dict "tokens" "tokens") "optional" false) -}}
{{- else -}}
{{- $entries = append $entries (include "toolwire.file" (list "tokens" $root $values.auth.tokens "tokens")) -}}
{{- end -}}
{{- $entries = append $entries (include "toolwire.file" (list "jwks" $root $values.auth.jwt "jwks.json")) -}}
{{- end -}}
{{- if has $part (list "edge" "control") -}}
{{- $entries = append $entries (include "toolwire.file" (list "redis-ca" $root $values.redis.ca "ca.crt")) -}}
{{- with $values.redis.clientCertificate.existingSecret -}}
{{- $files = append $files (dict "name" "redis" "kind" "secret" "object" (include "toolwire.tpl" (list (include "toolwire.scalar" .) $root)) "items" (dict "tls.crt" "tls.crt" "tls.key" "tls.key") "optional" false) -}}
{{- end -}}
{{- end -}}
{{- if ne $part "test" -}}{{- $entries = append $entries (include "toolwire.file" (list "database-ca" $root $values.database.ca "ca.crt")) -}}{{- end -}}
{{- if eq $part "test" -}}
{{- if include "toolwire.clientCa" $root -}}
{{- $certificate := include "toolwire.certificate" (list $root "caller") | mustFromJson -}}
{{- $files = append $files (dict "name" "caller" "kind" "secret" "object" $certificate.secret "items" (dict $certificate.crt "tls.crt" $certificate.key "tls.key") "optional" false) -}}
{{- end -}}
{{- $entries = append $entries (include "toolwire.file" (list "token" $root $values.test.token "token")) -}}
{{- end -}}
{{- range compact $entries -}}{{- $files = append $files (mustFromJson .) -}}{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* The CA of which callers must show certificates, as an entry of `toolwire.files`; nothing if they need none. */}}
{{- define "toolwire.clientCa" -}}
{{- $callers := .Values.tls.callers -}}
{{- if and (include "toolwire.door" (list . "callers")) $callers.clientCertificates -}}
{{- if or $callers.clientCa.existingSecret $callers.clientCa.existingConfigMap -}}
{{- include "toolwire.file" (list "client-ca" . $callers.clientCa "ca.crt") -}}
{{- else -}}
{{- $certificate := include "toolwire.certificate" (list . "callers") | mustFromJson -}}
{{- toJson (dict "name" "client-ca" "kind" "secret" "object" $certificate.secret "items" (dict "ca.crt" "ca.crt") "optional" false) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* List of: root, `edge`, `control`, `migrate` or `test`. Volumes of `toolwire.files`. */}}
{{- define "toolwire.fileVolumes" -}}
{{- $volumes := list -}}
{{- range include "toolwire.files" . | mustFromJson -}}
{{- $items := list -}}
{{- range $key, $path := .items -}}{{- $items = append $items (dict "key" $key "path" $path) -}}{{- end -}}
{{- $source := eq .kind "secret" | ternary (dict "secretName" .object "items" $items) (dict "name" .object "items" $items) -}}
{{- if .optional -}}{{- $_ := set $source "optional" true -}}{{- end -}}
{{- $volumes = append $volumes (dict "name" (printf "toolwire-%s" .name) .kind $source) -}}
{{- end -}}
{{- toYaml $volumes -}}
{{- end -}}

{{/* Of the same list, the mounts. A file behind subPath would never be read again. */}}
{{- define "toolwire.fileMounts" -}}
{{- $mounts := list -}}
{{- range include "toolwire.files" . | mustFromJson -}}
{{- $mounts = append $mounts (dict "name" (printf "toolwire-%s" .name) "mountPath" (printf "/etc/toolwire/%s" .name) "readOnly" true) -}}
{{- end -}}
{{- toYaml $mounts -}}
{{- end -}}

{{/* List of: root, `edge`, `control` or `migrate`. The variables that name what is in `toolwire.files`, as a map. */}}
{{- define "toolwire.fileEnv" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $env := dict -}}
{{- $names := list -}}
{{- range include "toolwire.files" . | mustFromJson -}}{{- $names = append $names .name -}}{{- end -}}
{{- $pairs := dict "agents" "TLS" "callers" "GRPC_TLS" "links" "LINK_TLS" "redis" "REDIS" -}}
{{- range $name, $prefix := $pairs -}}
{{- if has $name $names -}}
{{- $_ := set $env (printf "%s_CERT" $prefix) (printf "/etc/toolwire/%s/tls.crt" $name) -}}
{{- $_ := set $env (printf "%s_KEY" $prefix) (printf "/etc/toolwire/%s/tls.key" $name) -}}
{{- end -}}
{{- end -}}
{{- if has "links" $names -}}{{- $_ := set $env "LINK_TLS_CA" (printf "/etc/toolwire/%s/ca.crt" (has "links-ca" $names | ternary "links-ca" "links")) -}}{{- end -}}
{{- $single := dict "ticket-keys" (list "TLS_TICKET_KEYS_FILE" "keys") "client-ca" (list "GRPC_TLS_CLIENT_CA" "ca.crt") "redis-ca" (list "REDIS_CA" "ca.crt")
  "tokens" (list "TOKENS_FILE" "tokens") "jwks" (list "JWKS_FILE" "jwks.json") "database-ca" (list "PGSSLROOTCERT" "ca.crt") -}}
{{- range $name, $to := $single -}}
{{- if has $name $names -}}{{- $_ := set $env (index $to 0) (printf "/etc/toolwire/%s/%s" $name (index $to 1)) -}}{{- end -}}
{{- end -}}
{{- /* What the URL says itself counts more. */ -}}
{{- if has "database-ca" $names -}}{{- $_ := set $env "PGSSLMODE" "verify-full" -}}{{- end -}}
{{- if eq $part "control" -}}
{{- if include "toolwire.door" (list $root "callers") -}}
{{- /* For `toolwire doctor`, run in the pod. */ -}}
{{- $_ := set $env "TOOLWIRE_TLS" "1" -}}
{{- $_ := set $env "TOOLWIRE_TLS_SERVER_NAME" (include "toolwire.serverName" (list $root "callers")) -}}
{{- if has "callers-ca" $names -}}{{- $_ := set $env "TOOLWIRE_CA" "/etc/toolwire/callers-ca/ca.crt" -}}{{- end -}}
{{- end -}}
{{- if has "jwks" $names -}}
{{- $jwt := $root.Values.auth.jwt -}}
{{- range $key, $name := dict "issuer" "JWT_ISSUER" "audience" "JWT_AUDIENCE" "scopeClaim" "JWT_SCOPE_CLAIM" "scopePrefix" "JWT_SCOPE_PREFIX" "userClaim" "JWT_USER_CLAIM" -}}
{{- with include "toolwire.scalar" (get $jwt $key) -}}{{- $_ := set $env $name . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $env -}}{{- toYaml $env -}}{{- end -}}
{{- end -}}

{{/* What helm's test would need and the values do not name; nothing if it can be made. */}}
{{- define "toolwire.untestable" -}}
{{- if and (include "toolwire.asksForTokens" .) (not .Values.test.token.existingSecret) -}}
test.token.existingSecret, with a token that has the scope admin
{{- else if and (include "toolwire.clientCa" .) (not (include "toolwire.certificate" (list . "caller") | mustFromJson).from) -}}
test.certificateSecret, with a certificate for callers
{{- else if and (include "toolwire.clientCa" .) (not .Values.test.certificateSecret) (or .Values.tls.callers.existingSecret .Values.tls.callers.clientCa.existingSecret .Values.tls.callers.clientCa.existingConfigMap) -}}
test.certificateSecret, with a certificate of the CA that callers' must be of
{{- end -}}
{{- end -}}

{{/* Flags by which a command asks control, from inside of the cluster, as JSON. */}}
{{- define "toolwire.callerFlags" -}}
{{- $flags := list -}}
{{- if include "toolwire.speaksTls" (list . "callers") -}}
{{- $flags = append $flags "--tls" -}}
{{- if include "toolwire.door" (list . "callers") -}}
{{- $flags = concat $flags (list "--tls-server-name" (include "toolwire.serverName" (list . "callers"))) -}}
{{- if not .Values.tls.callers.publicCa -}}{{- $flags = concat $flags (list "--ca" "/etc/toolwire/callers-ca/ca.crt") -}}{{- end -}}
{{- end -}}
{{- if include "toolwire.clientCa" . -}}{{- $flags = concat $flags (list "--cert" "/etc/toolwire/caller/tls.crt" "--key" "/etc/toolwire/caller/tls.key") -}}{{- end -}}
{{- end -}}
{{- if .Values.test.token.existingSecret -}}
{{- $flags = concat $flags (list "--token-file" "/etc/toolwire/token/token") -}}
{{- if not (include "toolwire.speaksTls" (list . "callers")) -}}{{- $flags = append $flags "--plain-token" -}}{{- end -}}
{{- end -}}
{{- toJson $flags -}}
{{- end -}}
