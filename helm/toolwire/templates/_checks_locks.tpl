{{/* What of `tls` and `auth` contradicts itself, or is not enough. Each of these is a list. */}}

{{- define "toolwire.check.tls" -}}
{{- $tls := .Values.tls -}}
{{- $mode := include "toolwire.tlsMode" . -}}
{{- $problems := list -}}
{{- $any := false -}}
{{- range $door := list "agents" "callers" "links" -}}
{{- $of := get $tls $door -}}
{{- $secrets := eq $door "links" | ternary (dict "edgeSecret" "edge" "controlSecret" "control") (dict "existingSecret" $door) -}}
{{- $without := list -}}
{{- range $key, $_ := $secrets -}}
{{- if not (get $of $key) -}}{{- $without = append $without (printf "tls.%s.%s" $door $key) -}}
{{- else if eq $mode "off" -}}
{{- $problems = append $problems (printf "tls.%s.%s names a Secret, and tls.mode is off: set tls.mode to secret, or to generated or certManager for the other doors." $door $key) -}}
{{- else if not $of.enabled -}}
{{- $problems = append $problems (printf "tls.%s.%s names a Secret, and tls.%s.enabled is false: that door has no TLS." $door $key $door) -}}
{{- end -}}
{{- end -}}
{{- if include "toolwire.door" (list $ $door) -}}
{{- $any = true -}}
{{- if and $without (eq $mode "secret") -}}
{{- $problems = append $problems (printf "tls.mode=secret: name Secrets with tls.crt and tls.key in %s, or set tls.%s.enabled to false." (join " and " $without) $door) -}}
{{- else if and $without (eq $mode "certManager") (not (or $of.issuerRef.name $tls.certManager.issuerRef.name)) -}}
{{- $problems = append $problems (printf "tls.mode=certManager: name an issuer in tls.certManager.issuerRef.name or tls.%s.issuerRef.name." $door) -}}
{{- end -}}
{{- if and (get $of "publicCa") (not (get $of "existingSecret")) -}}
{{- if eq $mode "generated" -}}
{{- $problems = append $problems (printf "tls.%s.publicCa: the CA that tls.mode=generated makes is no public one." $door) -}}
{{- else if and (eq $mode "certManager") (not $of.names) -}}
{{- $problems = append $problems (printf "tls.%s.publicCa needs tls.%s.names: a public CA does not sign the names of Services." $door $door) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $of.issuerRef.name (ne $mode "certManager") -}}
{{- $problems = append $problems (printf "tls.%s.issuerRef names an issuer, and tls.mode is %s: set it to certManager." $door $mode) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $mode "off") (not $any) -}}
{{- $problems = append $problems (printf "tls.mode=%s, and agents, callers and links are not enabled: then it is off." $mode) -}}
{{- end -}}
{{- if and $tls.certManager.issuerRef.name (ne $mode "certManager") -}}
{{- $problems = append $problems (printf "tls.certManager.issuerRef names an issuer, and tls.mode is %s: set it to certManager." $mode) -}}
{{- end -}}
{{- $problems = concat $problems (include "toolwire.check.clients" . | fromYamlArray) -}}
{{- toYaml $problems -}}
{{- end -}}

{{- define "toolwire.check.clients" -}}
{{- $callers := .Values.tls.callers -}}
{{- $problems := list -}}
{{- $named := or $callers.clientCa.existingSecret $callers.clientCa.existingConfigMap -}}
{{- if and $callers.clientCertificates (not (include "toolwire.door" (list . "callers"))) -}}
{{- $problems = append $problems "tls.callers.clientCertificates: the callers' port has no TLS, so callers cannot show any. See tls.mode and tls.callers.enabled." -}}
{{- else if and $callers.clientCertificates $callers.publicCa (not $named) -}}
{{- $problems = append $problems "tls.callers.clientCertificates with publicCa needs tls.callers.clientCa: a public CA signs for everybody." -}}
{{- end -}}
{{- if and $named (not $callers.clientCertificates) -}}
{{- $problems = append $problems "tls.callers.clientCa names a CA, and tls.callers.clientCertificates is false: nobody would be asked for a certificate." -}}
{{- end -}}
{{- if and .Values.tls.agents.ticketKeys.existingSecret (not (include "toolwire.door" (list . "agents"))) -}}
{{- $problems = append $problems "tls.agents.ticketKeys: the agents' port has no TLS. See tls.mode and tls.agents.enabled." -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* Lines are not repeated: a token may stand where its hash should. */}}
{{- define "toolwire.check.auth" -}}
{{- $auth := .Values.auth -}}
{{- $jwt := $auth.jwt -}}
{{- $problems := list -}}
{{- if and $auth.tokens.existingSecret $auth.tokens.lines -}}
{{- $problems = append $problems "auth.tokens: existingSecret and lines are two files of tokens. Name one." -}}
{{- end -}}
{{- range $i, $line := $auth.tokens.lines -}}
{{- if contains "tw_" (regexReplaceAll `^[^\s]*` $line "") -}}
{{- $problems = append $problems (printf "auth.tokens.lines[%d] holds a token. Give the line that `toolwire tokens create` prints beside it, with its hash, and let nobody use that token." $i) -}}
{{- else if not (regexMatch `^[A-Za-z0-9_.-]{1,64}[ \t]+sha256:[0-9a-f]{64}[ \t]+(call|read|admin)(,(call|read|admin))*([ \t]+(user|user-prefix|expires)=[^ \t\n]+)*$` (trim $line)) -}}
{{- $problems = append $problems (printf "auth.tokens.lines[%d] is no line of `toolwire tokens create`: name sha256:<64 hex> scopes." $i) -}}
{{- end -}}
{{- end -}}
{{- if or $jwt.existingSecret $jwt.existingConfigMap -}}
{{- if not (and $jwt.issuer $jwt.audience) -}}
{{- $problems = append $problems "auth.jwt needs issuer and audience: the issuer's keys sign tokens for others, too." -}}
{{- end -}}
{{- else -}}
{{- $set := list -}}
{{- range list "issuer" "audience" "scopeClaim" "scopePrefix" "userClaim" "leewaySeconds" "lifetimeMaxSeconds" -}}
{{- if include "toolwire.scalar" (get $jwt .) -}}{{- $set = append $set . -}}{{- end -}}
{{- end -}}
{{- with $set -}}
{{- $problems = append $problems (printf "auth.jwt.%s: name the issuer's keys (JWKS) in auth.jwt.existingSecret or auth.jwt.existingConfigMap." (first .)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* A file is of a Secret or of a ConfigMap. */}}
{{- define "toolwire.check.sources" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- range $path, $of := dict "auth.jwt" $v.auth.jwt "redis.ca" $v.redis.ca "database.ca" $v.database.ca "tls.links.ca" $v.tls.links.ca "tls.callers.clientCa" $v.tls.callers.clientCa -}}
{{- if and $of.existingSecret $of.existingConfigMap -}}
{{- $problems = append $problems (printf "%s names a Secret and a ConfigMap. Name one." $path) -}}
{{- end -}}
{{- end -}}
{{- if and (or $v.tls.links.ca.existingSecret $v.tls.links.ca.existingConfigMap) (not (include "toolwire.door" (list . "links"))) -}}
{{- $problems = append $problems "tls.links.ca: links have no TLS. See tls.mode and tls.links.enabled." -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/*
List of: root, `redis` or `database`, its URL. What contradicts files that are named for its TLS, as a format for the
URL's place; servers would not start, or would use none of them.
*/}}
{{- define "toolwire.check.files" -}}
{{- $root := index . 0 -}}
{{- $url := index . 2 -}}
{{- $of := get $root.Values (index . 1) -}}
{{- $ca := or $of.ca.existingSecret $of.ca.existingConfigMap -}}
{{- if eq (index . 1) "redis" -}}
{{- if and (or $ca $of.clientCertificate.existingSecret) (hasPrefix "redis" $url) (not (hasPrefix "rediss" $url)) (not (contains "sentinel-tls=on" $url)) -}}
redis.{{ empty $ca | ternary "clientCertificate" "ca" }} is for TLS, and %s has none: begin it with rediss://.
{{- end -}}
{{- else if and $ca (regexMatch "[?&]sslmode=(disable|allow|prefer)(&|$)" $url) -}}
database.ca is named, and %s has an sslmode that checks no certificate: leave it out, which is verify-full here.
{{- end -}}
{{- end -}}
