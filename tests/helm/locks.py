"""Claims of tests/helm_test about `tls` and `auth`: it runs this file with what it defines."""
import base64

DOORS = ("--plain-agents", "--plain-grpc", "--no-tokens", "--plain-links")
GENERATED = {"tls": {"mode": "generated"}}
MANAGED = {"tls": {"mode": "certManager", "certManager": {"issuerRef": {"name": "ca"}}}}
SECRETS = {"tls": {"mode": "secret", "agents": {"existingSecret": "a"}, "callers": {"existingSecret": "c"},
                   "links": {"edgeSecret": "e", "controlSecret": "k"}}}
TOKENS = {"auth": {"tokens": {"existingSecret": "tokens"}}, "test": {"token": {"existingSecret": "token"}}}
HASH = "sha256:" + "0123456789abcdef" * 4


def open_doors(values):
    """The flags by which each part is told that a door of its has no lock."""
    objects = render(values)
    return [sorted({arg.split("=")[0] for arg in objects.container(part)["args"]} & set(DOORS)) for part in ("edge", "control")]


def config(objects, part):
    return objects.one("ConfigMap", f"-{part}")["data"]


def files(pod):
    """Paths of a pod's Secrets and ConfigMaps -> (object, key)."""
    spec, found = pod["spec"], {}
    volumes = {one["name"]: one.get("secret") or one.get("configMap") for one in spec.get("volumes", [])}
    for mount in spec["containers"][0].get("volumeMounts", []):
        source = volumes.get(mount["name"])
        for item in (source or {}).get("items", []):
            assert mount["readOnly"] is True, mount
            found[f"{mount['mountPath']}/{item['path']}"] = (source.get("secretName") or source["name"], item["key"])
    return found


def secret_of(objects, part, variable):
    """Of which Secret and key the file is that a variable of a server names."""
    kind = "Deployment" if ("Deployment", f"r-toolwire-{part}") in objects else "StatefulSet"
    return files(pod_of(objects.one(kind, f"-{part}")))[config(objects, part)[variable]]


@claim("with tls and auth no door is said to be open; each one alone, and each source, is enough for its own")
def _():
    for source in (GENERATED, MANAGED, SECRETS):
        equal(open_doors(merged(source, TOKENS)), [[], []])
        equal(open_doors(source), [[], ["--no-tokens"]])
    equal(open_doors(TOKENS), [["--plain-agents", "--plain-links"], ["--plain-grpc", "--plain-links"]])
    only = {door: merged(GENERATED, {"tls": {one: {"enabled": one == door} for one in ("agents", "callers", "links")}})
            for door in ("agents", "callers", "links")}
    equal(open_doors(only["agents"]), [["--plain-links"], ["--no-tokens", "--plain-grpc", "--plain-links"]])
    equal(open_doors(only["callers"]), [["--plain-agents", "--plain-links"], ["--no-tokens", "--plain-links"]])
    equal(open_doors(only["links"]), [["--plain-agents"], ["--no-tokens", "--plain-grpc"]])
    # Proxies that are named are the lock of the agents' port; a flag that is off is said by extraEnvFrom.
    equal(open_doors({"edge": {"flags": {"trusted-proxies": "10.0.0.0/8"}}})[0], ["--plain-links"])
    for name in ("locked", "certmanager"):
        equal(open_doors(file_set(name)), [[], []])
    equal(open_doors(file_set("secrets")), [[], []])


@claim("each server finds its own certificate of each source, and no other one")
def _():
    names = {
        "generated": {"TLS_CERT": ("r-toolwire-tls", "agents.crt"), "GRPC_TLS_KEY": ("r-toolwire-tls", "control.key"), "edge": ("r-toolwire-tls", "edge.key"),
                      "control": ("r-toolwire-tls", "control.key"), "ca": ("r-toolwire-tls", "ca.crt")},
        "certManager": {"TLS_CERT": ("r-toolwire-tls-agents", "tls.crt"), "GRPC_TLS_KEY": ("r-toolwire-tls-callers", "tls.key"),
                        "edge": ("r-toolwire-tls-edge", "tls.key"), "control": ("r-toolwire-tls-control", "tls.key"), "ca": ("r-toolwire-tls-edge", "ca.crt")},
        "secret": {"TLS_CERT": ("a", "tls.crt"), "GRPC_TLS_KEY": ("c", "tls.key"), "edge": ("e", "tls.key"), "control": ("k", "tls.key"), "ca": ("e", "ca.crt")}}
    for source, mode in ((GENERATED, "generated"), (MANAGED, "certManager"), (SECRETS, "secret")):
        objects = render(source)
        for part, variable, wanted in (("edge", "TLS_CERT", "TLS_CERT"), ("control", "GRPC_TLS_KEY", "GRPC_TLS_KEY"), ("edge", "LINK_TLS_KEY", "edge"),
                                       ("control", "LINK_TLS_KEY", "control"), ("edge", "LINK_TLS_CA", "ca")):
            equal((mode, variable, secret_of(objects, part, variable)), (mode, variable, names[mode][wanted]))
        for part in ("edge", "control"):
            for name, path in config(objects, part).items():
                if path.startswith("/etc/toolwire/"):
                    assert path in files(pod_of(objects.one("Deployment", f"-{part}"))), f"{mode}: {name}={path} is not mounted"
            keys = {key for _, key in files(pod_of(objects.one("Deployment", f"-{part}"))).values()}
            equal(keys & {"ca.key", "caller.key", "postgres.key", {"edge": "control.key", "control": "edge.key"}[part]}, set())
    # A door's own Secret counts more than the mode, and may be a template.
    mixed = render(merged(GENERATED, {"tls": {"agents": {"existingSecret": "{{ .Release.Name }}-public", "publicCa": True, "names": ["a.example.com"]}}}))
    equal(secret_of(mixed, "edge", "TLS_CERT"), ("r-public", "tls.crt"))
    equal(secret_of(mixed, "edge", "LINK_TLS_CERT"), ("r-toolwire-tls", "edge.crt"))
    bundle = render(merged(GENERATED, {"tls": {"links": {"ca": {"existingConfigMap": "both", "key": "bundle.crt"}}}}))
    for part in ("edge", "control"):
        equal(secret_of(bundle, part, "LINK_TLS_CA"), ("both", "bundle.crt"))


@claim("certificates of cert-manager have the names that others check, and the usages of who dials and who listens")
def _():
    objects = render(merged(MANAGED, {"tls": {"agents": {"names": ["agents.example.com", "192.0.2.1", "fd00::1"]}, "callers": {"clientCertificates": True}}}))
    specs = {name.removeprefix("r-toolwire-tls-"): one["spec"] for (kind, name), one in objects.items() if kind == "Certificate"}
    equal(sorted(specs), ["agents", "caller", "callers", "control", "edge"])
    # Addresses of pods are no names: the two ends of links know each other by these.
    header = read(os.path.join(ROOT, "common/tls/certificate_maker.h"))
    for role in ("edge", "control"):
        equal(specs[role]["dnsNames"], [f"{role}.toolwire.internal"])
        assert f'"{role}.toolwire.internal"' in header
        equal(specs[role]["usages"], ["digital signature", "server auth", "client auth"])
    equal(specs["caller"]["usages"], ["digital signature", "client auth"])
    equal(specs["agents"]["usages"], ["digital signature", "server auth"])
    equal(specs["agents"]["ipAddresses"], ["192.0.2.1", "fd00::1"])
    for name in ("agents.example.com", "r-toolwire-edge", "r-toolwire-edge.tools.svc"):
        assert name in specs["agents"]["dnsNames"], specs["agents"]["dnsNames"]
    for name in ("r-toolwire-control.tools.svc", "r-toolwire-control-headless.tools.svc"):
        assert name in specs["callers"]["dnsNames"], specs["callers"]["dnsNames"]
    equal(specs["edge"]["privateKey"], {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"})
    equal(render(merged(MANAGED, {"tls": {"certManager": {"algorithm": "RSA"}}})).one("Certificate", "-edge")["spec"]["privateKey"]["size"], 2048)
    # A public CA signs no name of a Service, and no role; each door may have its own issuer.
    objects = render(file_set("certmanager"))
    agents = objects.one("Certificate", "-agents")["spec"]
    equal((agents["dnsNames"], agents["issuerRef"]), (["agents.example.com"], {"name": "letsencrypt", "kind": "ClusterIssuer", "group": "cert-manager.io"}))
    equal(objects.one("Certificate", "-edge")["spec"]["issuerRef"]["name"], "tools-ca")
    equal([key for key in render(merged(MANAGED, {"tls": {"links": {"enabled": False}}})) if key[0] == "Certificate" and key[1].endswith(("edge", "control"))], [])
    equal([len(render(source).kinds("Certificate")) for source in (GENERATED, SECRETS, {})], [0, 0, 0])


@claim("generated certificates are made by a hook, once: no render holds a key, and an upgrade asks for the same again")
def _():
    objects = render(GENERATED)
    job = objects.one("Job", "-certificates")
    container = pod_of(job)["spec"]["containers"][0]
    equal(container["command"], ["/usr/bin/toolwire", "certificates", "create"])
    equal(container["args"][:2], ["--kubernetes-secret=r-toolwire-tls", "--days=3650"])
    assert "--name=r-toolwire-control-headless.tools.svc" in container["args"], container["args"]
    equal([arg for arg in container["args"] if arg in ("--force", "--renew")], [])
    # The Secret is none of the release's objects, which an upgrade or an uninstall would change.
    equal([key for key in objects if key[0] == "Secret"], [])
    # What other values change of an upgrade, or its being one, changes nothing that the hook is asked for.
    for values in ({"image": {"tag": "2"}}, {"edge": {"replicas": 9}}, TOKENS, {"tls": {"callers": {"clientCertificates": True}}}, {"commonLabels": {"a": "b"}}):
        for more in ((), ("--is-upgrade",)):
            equal(pod_of(render(merged(GENERATED, values), *more).one("Job", "-certificates"))["spec"]["containers"][0]["args"], container["args"])
    changed = pod_of(render(merged(GENERATED, {"tls": {"agents": {"names": ["agents.example.com"]}}})).one("Job", "-certificates"))
    equal(changed["spec"]["containers"][0]["args"][2], "--name=agents.example.com")
    # It may write this Secret and this ConfigMap alone, and no other pod has a token.
    rules = objects.one("Role")["rules"]
    equal([(rule["verbs"], rule.get("resourceNames")) for rule in rules], [(["create"], None), (["get", "patch"], ["r-toolwire-tls"])])
    equal(objects.one("RoleBinding")["subjects"][0]["name"], pod_of(job)["spec"]["serviceAccountName"])
    with_token = [key for key, one in objects.items() if isinstance(one.get("spec"), dict) and "containers" in ((pod_of(one) or {}).get("spec") or {})
                  and pod_of(one)["spec"].get("automountServiceAccountToken") is not False]
    equal(with_token, [("Job", "r-toolwire-certificates")])
    equal([one["port"] for one in objects.one("NetworkPolicy", "-certificates")["spec"]["egress"][0]["ports"]], [443, 6443])
    # All of it is there before the Job, the Role before who is bound to it, and the Job before what migrates.
    weight = {key: int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for key, one in objects.items()
              if "pre-install" in one["metadata"].get("annotations", {}).get("helm.sh/hook", "")}
    assert weight["Role", "r-toolwire-certificates"] < weight["RoleBinding", "r-toolwire-certificates"] < weight["Job", "r-toolwire-certificates"], weight
    assert weight["Job", "r-toolwire-certificates"] < weight["Job", "r-toolwire-migrate"], weight
    own = render(merged(GENERATED, {"tls": {"generated": {"serviceAccountName": "mine"}}}))
    equal((own.kinds("Role"), pod_of(own.one("Job", "-certificates"))["spec"]["serviceAccountName"]), ([], "mine"))


@claim("callers' tokens and the issuer's keys are files that controls read again; lines in the values are hashes alone")
def _():
    objects = render(merged(TOKENS, {"auth": {"jwt": {"existingConfigMap": "jwks", "issuer": "https://i", "audience": "a", "userClaim": "uid", "leewaySeconds": 0, "lifetimeMaxSeconds": 60}}}))
    equal(secret_of(objects, "control", "TOKENS_FILE"), ("tokens", "tokens"))
    equal(secret_of(objects, "control", "JWKS_FILE"), ("jwks", "jwks.json"))
    data = config(objects, "control")
    equal([data[name] for name in ("JWT_ISSUER", "JWT_AUDIENCE", "JWT_USER_CLAIM")], ["https://i", "a", "uid"])
    equal([arg for arg in objects.container("control")["args"] if "jwt" in arg], ["--jwt-leeway=0", "--jwt-lifetime-max=60000"])
    equal("JWT_SCOPE_CLAIM" in data, False)
    lines = [f"shop {HASH} call,read", f"page_7   {HASH}\tcall  user=user%207 expires=2027-01-31T00:00:00Z"]
    objects = render({"auth": {"tokens": {"lines": lines}}})
    equal(base64.b64decode(objects.one("Secret", "-tokens")["data"]["tokens"]).decode(), "\n".join(lines) + "\n")
    equal(secret_of(objects, "control", "TOKENS_FILE"), ("r-toolwire-tokens", "tokens"))
    # A pod does not roll for another line, since it reads the file again.
    equal(pods(render({"auth": {"tokens": {"lines": lines[:1]}}})), pods(objects))
    equal([key for key in files(pod_of(objects.one("Deployment", "-edge")))], [])


@claim("a token in place of its hash is refused and not repeated, and so is a line that no control would take")
def _():
    token = "tw_" + "S" * 43
    for line in (f"shop {token} call", f"shop sha256:{token} call"):
        try:
            render_text({"auth": {"tokens": {"lines": [line]}}})
        except Refused as said:
            assert "auth.tokens.lines[0] holds a token" in str(said) and token not in str(said), said
        else:
            raise AssertionError(line)
    for line in ("shop", f"shop {HASH}", f"shop {HASH} write", f"shop {HASH[:-1]} call", f"a b {HASH} call", f"{HASH} call", f"shop {HASH} call to=x"):
        refused({"auth": {"tokens": {"lines": [f"ok {HASH} admin", line]}}}, "auth.tokens.lines[1] is no line of `toolwire tokens create`")
    render({"auth": {"tokens": {"lines": [f"tw_1 {HASH} call"]}}})


@claim("values that contradict each other are refused, each with what to set instead")
def _():
    def tls(mode, **doors):
        return {"tls": {"mode": mode, **doors}}
    private = {"issuerRef": {"name": "ca"}}
    for values, words in (
            (tls("off", agents={"existingSecret": "a"}), "tls.agents.existingSecret names a Secret, and tls.mode is off"),
            (tls(False, links={"edgeSecret": "a"}), "tls.links.edgeSecret names a Secret, and tls.mode is off"),
            (tls("generated", agents={"enabled": False, "existingSecret": "a"}), "tls.agents.enabled is false"),
            (tls("secret"), "name Secrets with tls.crt and tls.key in tls.callers.existingSecret"),
            (tls("secret", links={"edgeSecret": "a"}), "name Secrets with tls.crt and tls.key in tls.links.controlSecret, or set tls.links.enabled to false"),
            (tls("certManager"), "name an issuer in tls.certManager.issuerRef.name or tls.links.issuerRef.name"),
            (tls("generated", certManager=private), "tls.certManager.issuerRef names an issuer, and tls.mode is generated"),
            (tls("off", callers=private), "tls.callers.issuerRef names an issuer, and tls.mode is off"),
            (tls("generated", agents={"publicCa": True}), "tls.mode=generated makes is no public one"),
            (tls("certManager", certManager=private, agents={"publicCa": True}), "tls.agents.publicCa needs tls.agents.names"),
            (tls("generated", **{door: {"enabled": False} for door in ("agents", "callers", "links")}), "then it is off"),
            (tls("off", callers={"clientCertificates": True}), "the callers' port has no TLS"),
            (tls("generated", callers={"clientCa": {"existingSecret": "a"}}), "tls.callers.clientCertificates is false"),
            (tls("generated", callers={"existingSecret": "a", "publicCa": True, "clientCertificates": True}), "a public CA signs for everybody"),
            (tls("generated", callers={"clientCertificates": True, "clientCa": {"existingSecret": "a", "existingConfigMap": "b"}}), "tls.callers.clientCa names a Secret and a ConfigMap"),
            (tls("off", links={"ca": {"existingSecret": "a"}}), "tls.links.ca: links have no TLS"),
            (tls("off", agents={"ticketKeys": {"existingSecret": "a"}}), "tls.agents.ticketKeys: the agents' port has no TLS"),
            ({"auth": {"tokens": {"existingSecret": "a", "lines": [f"a {HASH} call"]}}}, "existingSecret and lines are two files"),
            ({"auth": {"jwt": {"existingSecret": "a", "issuer": "i"}}}, "auth.jwt needs issuer and audience"),
            ({"auth": {"jwt": {"issuer": "i", "audience": "a"}}}, "auth.jwt.issuer: name the issuer's keys (JWKS)"),
            ({"auth": {"jwt": {"leewaySeconds": 0}}}, "auth.jwt.leewaySeconds: name the issuer's keys"),
            ({"auth": {"jwt": {"existingSecret": "a", "existingConfigMap": "b", "issuer": "i", "audience": "a"}}}, "auth.jwt names a Secret and a ConfigMap"),
            (merged(GENERATED, {"edge": {"flags": {"plain-agents": True}}}), "edge.flags.plain-agents: set tls.agents"),
            (merged(GENERATED, {"edge": {"flags": {"--link-tls-ca": "/a"}}}), "edge.flags.--link-tls-ca: set tls.links"),
            (merged(GENERATED, {"control": {"extraEnv": [{"name": "GRPC_TLS_CERT", "value": "/a"}]}}), "GRPC_TLS_CERT in the extraEnv of control: set tls.callers"),
            (merged(TOKENS, {"control": {"flags": {"no-tokens": True}}}), "control.flags.no-tokens: set auth.tokens"),
            (merged(GENERATED, {"extraVolumes": [{"name": "toolwire-links", "emptyDir": {}}]}), "a volume of extraVolumes is called toolwire-links"),
            ({"tls": {"mode": "on"}}, "at '/tls/mode': value must be one of"), ({"tls": {"agents": {"existingsecret": "a"}}}, "additional properties 'existingsecret' not allowed"),
            ({"tls": {"certManager": {"duration": "90d"}}}, "at '/tls/certManager/duration'"), ({"tls": {"generated": {"days": 0}}}, "at '/tls/generated/days'"),
            ({"auth": {"jwt": {"leewaySeconds": 601}}}, "at '/auth/jwt/leewaySeconds'"), ({"ingress": {"controller": "traefik"}}, "at '/ingress/controller'")):
        refused(values, words)
    # Names may stay when TLS goes; what is mounted by oneself stays possible where the values give no lock.
    render({"tls": {"agents": {"names": ["a"]}}, "edge": {"flags": {"tls-cert": "/a", "tls-key": "/b"}}})


@claim("probes of a port with TLS are such that a kubelet can make: it checks no certificate, and knows no gRPC with TLS")
def _():
    for values in (GENERATED, {"edge": {"flags": {"tls-cert": "/a"}}, "control": {"extraEnv": [{"name": "GRPC_TLS_CERT", "value": "/a"}]}}):
        objects = render(values)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            equal(objects.container("edge")[kind]["httpGet"], {"path": "/health", "port": "agents", "scheme": "HTTPS"})
            equal([key for key in objects.container("control")[kind] if key == "grpc"], [])
        control = objects.container("control")
        equal((control["readinessProbe"]["tcpSocket"], control["livenessProbe"]["httpGet"]), ({"port": "callers"}, {"path": "/metrics", "port": "metrics"}))
    plain = render()
    equal((plain.container("control")["readinessProbe"]["grpc"], plain.container("edge")["readinessProbe"]["httpGet"]), ({"port": 50051}, {"path": "/health", "port": "agents"}))
    own = render(merged(GENERATED, {"control": {"livenessProbe": {"exec": {"command": ["a"]}}}})).container("control")["livenessProbe"]
    equal(own["exec"], {"command": ["a"]})


@claim("Services, an Ingress and a Gateway say that edges speak TLS, and check the name that is in their certificate")
def _():
    def protocols(objects):
        return [port.get("appProtocol") for end in ("-edge", "-control", "-control-headless") for port in objects.one("Service", end)["spec"]["ports"]]
    equal(protocols(render(GENERATED)), ["kubernetes.io/wss", "https", "https"])
    equal(protocols(render()), ["kubernetes.io/ws", "kubernetes.io/h2c", "kubernetes.io/h2c"])
    equal(protocols(render(merged(GENERATED, {"edge": {"service": {"appProtocol": "x"}}, "control": {"service": {"appProtocol": None}}}))), ["x", None, None])

    nginx = "nginx.ingress.kubernetes.io/"
    ingress = {"ingress": {"enabled": True, "controller": "nginx", "annotations": {nginx + "proxy-ssl-verify": "off"}}}
    annotations = render(merged(GENERATED, ingress)).one("Ingress")["metadata"]["annotations"]
    equal(annotations, {nginx + "backend-protocol": "HTTPS", nginx + "proxy-ssl-name": "r-toolwire-edge.tools.svc", nginx + "proxy-ssl-server-name": "on",
                        nginx + "proxy-ssl-secret": "tools/r-toolwire-tls", nginx + "proxy-ssl-verify": "off"})
    equal(render(ingress).one("Ingress")["metadata"]["annotations"], {nginx + "proxy-ssl-verify": "off"})
    public = {"tls": {"agents": {"existingSecret": "a", "publicCa": True, "names": ["agents.example.com"]}}}
    annotations = render(merged(merged(GENERATED, public), {"ingress": {"enabled": True, "controller": "nginx"}})).one("Ingress")["metadata"]["annotations"]
    equal((annotations[nginx + "proxy-ssl-name"], nginx + "proxy-ssl-secret" in annotations), ("agents.example.com", False))
    for controller, key in (("haproxy", "haproxy.org/server-ssl"), ("alb", "alb.ingress.kubernetes.io/backend-protocol")):
        assert key in render(merged(GENERATED, {"ingress": {"enabled": True, "controller": controller}})).one("Ingress")["metadata"]["annotations"], key

    gateway = {"gateway": {"enabled": True, "parentRefs": [{"name": "a"}]}}
    policy = render(merged(GENERATED, gateway)).one("BackendTLSPolicy")["spec"]
    equal(policy["targetRefs"], [{"group": "", "kind": "Service", "name": "r-toolwire-edge", "sectionName": "agents"}])
    equal(policy["validation"], {"hostname": "r-toolwire-edge.tools.svc", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "r-toolwire-tls"}]})
    validation = render(merged(MANAGED, gateway)).one("BackendTLSPolicy")["spec"]["validation"]
    equal(validation["caCertificateRefs"], [{"group": "", "kind": "Secret", "name": "r-toolwire-tls-agents"}])
    named = render(merged(merged(MANAGED, gateway), {"gateway": {"backendTls": {"caConfigMap": "{{ .Release.Name }}-ca"}}, "tls": {"agents": {"serverName": "x.example"}}}))
    equal(named.one("BackendTLSPolicy")["spec"]["validation"], {"hostname": "x.example", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "r-ca"}]})
    equal(render(file_set("certmanager")).one("BackendTLSPolicy")["spec"]["validation"], {"hostname": "agents.example.com", "wellKnownCACertificates": "System"})
    for none in (gateway, merged(merged(GENERATED, gateway), {"gateway": {"backendTls": {"enabled": False}}}),
                 merged(merged(GENERATED, gateway), {"tls": {"agents": {"enabled": False}}}), GENERATED):
        equal(render(none).kinds("BackendTLSPolicy"), [])


@claim("helm test shows what each door asks of it, through the network policies, or is left out with a word why")
def _():
    def steps(values):
        spec = render(values).one("Pod", "test")["spec"]
        return {one["name"]: one for one in spec["initContainers"] + spec["containers"]}, files(render(values).one("Pod", "test"))

    def after(step, flag):
        words = step["args"]
        return words[words.index(flag) + 1] if flag in words else None
    found, mounted = steps(merged(merged(GENERATED, TOKENS), {"tls": {"callers": {"clientCertificates": True}}}))
    for name in ("credential", "call", "clean-up"):
        step = found[name]
        equal((after(step, "--tls-server-name"), "--plain-token" in step["args"]), ("r-toolwire-control.tools.svc", False))
        equal([mounted[after(step, flag)] for flag in ("--ca", "--cert", "--key", "--token-file")],
              [("r-toolwire-tls", "ca.crt"), ("r-toolwire-tls", "caller.crt"), ("r-toolwire-tls", "caller.key"), ("token", "token")])
    agent = found["agent"]
    equal((after(agent, "--tls-server-name"), mounted[after(agent, "--ca")], after(agent, "--token-file")), ("r-toolwire-edge.tools.svc", ("r-toolwire-tls", "ca.crt"), None))
    equal({one["name"]: one.get("value") for one in agent["env"]}["TOOLWIRE_URL"], "wss://r-toolwire-edge:8082")
    # As it ends, it revokes by what the last step has.
    equal(agent["lifecycle"]["preStop"]["exec"]["command"], ["/usr/bin/toolwire", *found["clean-up"]["args"]])
    # Tokens without TLS: the chart's network policy is what keeps others off.
    found, _ = steps(TOKENS)
    assert "--plain-token" in found["call"]["args"] and "--tls" not in found["call"]["args"], found["call"]["args"]
    equal({one["name"]: one.get("value") for one in found["agent"]["env"]}["TOOLWIRE_URL"], "ws://r-toolwire-edge:8082")
    found, mounted = steps(file_set("certmanager"))
    equal((after(found["agent"], "--tls-server-name"), after(found["agent"], "--ca")), ("agents.example.com", None))
    equal(mounted[after(found["call"], "--cert")], ("r-toolwire-tls-caller", "tls.crt"))
    equal(mounted[after(found["call"], "--token-file")], ("ops-token", "jwt"))
    # Ports that its policy, and those of edge and control, let it reach.
    objects = render(merged(GENERATED, TOKENS))
    equal([one["ports"][0]["port"] for one in objects.one("NetworkPolicy", "-test")["spec"]["egress"][1:]], [50051, 8082])
    for values, words in (({"auth": TOKENS["auth"]}, "it needs test.token.existingSecret, with a token that has the scope admin"),
                          (merged(SECRETS, {"tls": {"callers": {"clientCertificates": True}}}), "it needs test.certificateSecret"),
                          (merged(GENERATED, {"tls": {"callers": {"clientCertificates": True, "clientCa": {"existingSecret": "x"}}}}), "with a certificate of the CA that callers' must be of"),
                          (merged(GENERATED, {"tls": {"callers": {"clientCertificates": True, "existingSecret": "x"}}}), "with a certificate of the CA that callers' must be of")):
        objects = render(values)
        equal((objects.kinds("Pod"), [key for key in objects if key[1].endswith("-test")]), ([], []))
        text = notes(merged(values, REFS))
        assert "`helm test` is left out: it needs " in text and words in text, text


@claim("the notes have no warning where every door is locked, and a line about each open one where not")
def _():
    for name in ("locked", "certmanager"):
        text = notes(file_set(name))
        assert "WARNING" not in text and "Every door has its lock" in text and "in plain" not in text, text
    text = notes(file_set("locked"), "--set", "control.service.type=LoadBalancer,edge.service.type=LoadBalancer,networkPolicy.enabled=false")
    assert "WARNING" not in text and "wss://<its address>:8082" in text, text
    for word in ("TOOLWIRE_URL=wss://127.0.0.1:8082", "get secret r-toolwire-tls -o jsonpath", "--tls-server-name r-toolwire-control.tools.svc --ca callers-ca.crt --cert FILE --key FILE --token-file FILE",
                 "toolwire agent --user demo --tls-server-name r-toolwire-edge.tools.svc --ca agents-ca.crt", "ConfigMap r-toolwire-tls has in ca.crt"):
        assert word in text, f"{word} is not in {text}"
    lines = {"agents": "agents' port 8082 is in plain (--plain-agents)", "callers": "callers' port 50051 is in plain (--plain-grpc)", "links": "links 50052 are in plain (--plain-links)"}
    for door, line in lines.items():
        text = notes(merged(REFS, merged(merged(GENERATED, TOKENS), {"tls": {door: {"enabled": False}}})))
        equal([one for one in lines.values() if one in text], [line])
        assert "asks for no token" not in text and "Every door" not in text, text
    assert "asks for no token (--no-tokens)" in notes(merged(REFS, GENERATED))
    text = notes(merged(REFS, merged(GENERATED, {"control": {"service": {"type": "NodePort"}}})))
    assert "the callers' port leaves the cluster, without tokens." in text, text
    text = notes(merged(REFS, merged(GENERATED, {"ingress": {"enabled": True}})))
    assert "nothing tells the Ingress to" in text, text
    for told in ({"annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}}, {"controller": "alb"}):
        assert "nothing tells the Ingress" not in notes(merged(REFS, merged(GENERATED, {"ingress": {"enabled": True, **told}})))
    # What extraEnvFrom locks, which the chart cannot see, is said by a flag that is off.
    text = notes(merged(REFS, {"edge": {"flags": {"plain-agents": False, "--plain-links": "false"}}, "control": {"flags": {"plain-links": False}}}))
    assert "--plain-agents" not in text and "--plain-links" not in text and "--plain-grpc" in text, text
    text = notes({"redis": {"url": "redis://a"}, "database": {"url": "postgresql://a/b"}})
    assert "Redis is dialled in plain" in text and "PostgreSQL is dialled without a check" in text, text


@claim("the CAs of Redis and PostgreSQL reach who dials them, the migration included; PostgreSQL's certificate is then checked")
def _():
    objects = render({"redis": {"ca": {"existingConfigMap": "redis-ca", "key": "a"}, "clientCertificate": {"existingSecret": "client"}}, "database": {"ca": {"existingSecret": "db-ca"}}})
    for part in ("edge", "control"):
        equal([secret_of(objects, part, name) for name in ("REDIS_CA", "REDIS_CERT", "REDIS_KEY", "PGSSLROOTCERT")],
              [("redis-ca", "a"), ("client", "tls.crt"), ("client", "tls.key"), ("db-ca", "ca.crt")])
        equal(config(objects, part)["PGSSLMODE"], "verify-full")
    job = pod_of(objects.one("Job", "-migrate"))
    env = {one["name"]: one.get("value") for one in job["spec"]["containers"][0]["env"]}
    equal((env["PGSSLMODE"], files(job)[env["PGSSLROOTCERT"]], len(files(job))), ("verify-full", ("db-ca", "ca.crt"), 1))
    equal("PGSSLMODE" in config(render(), "edge"), False)


@claim("alerts know certificates that end, and files that cannot be used")
def _():
    rules = render({"monitoring": {"prometheusRule": {"enabled": True}}}).one("PrometheusRule")["spec"]["groups"][0]["rules"]
    found = {one["alert"]: one["expr"] for one in rules}
    assert "toolwire_tls_certificate_expiry_seconds" in found["ToolwireCertificateExpires"], found
    assert "toolwire_tls_reloads_failed_total" in found["ToolwireCertificateRefused"], found
