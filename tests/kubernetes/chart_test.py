"""helm/toolwire on a real API server: `scripts/kubernetes test` starts one and runs this.

Real: the API server's checks and defaults, PodSecurity `restricted`, RBAC, the controllers, the scheduler, evictions,
helm's waiting, hooks and rollbacks. Not real: the nodes. No container runs, so probes and hooks always succeed; that is
tests/functional/helm_pods.test.js's part. Prints a line for each claim, under it what is wrong, and ends with:
N passed, N failed.
"""
import json
import os
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KUBECTL = os.path.join(ROOT, ".tools/python/bin/kubectl")
HELMS = {"helm 3": os.path.join(ROOT, ".tools/bin/helm"), "helm 4": os.path.join(ROOT, ".tools/helm4/helm")}
CHART = os.path.join(ROOT, "helm/toolwire")
VALUES = os.path.join(ROOT, "tests/helm/values")
# The storage of the kwok nodes, and pods that stop at once: no process is there that drains.
HERE = ["--set", "edge.persistence.storageClass=,control.persistence.storageClass="]
# What the set `everything` names and this cluster does not have.
OTHER_SCHEDULER = ["--set", "edge.schedulerName=,control.schedulerName="]
SETS = {
    "dev": [os.path.join(CHART, "values-dev.yaml")],
    "minimal": [os.path.join(VALUES, "minimal.yaml")],
    "production": [os.path.join(VALUES, "production.yaml")],
    "persistent": [os.path.join(VALUES, "persistent.yaml")],
    "locked": [os.path.join(VALUES, "locked.yaml")],
    "certmanager": [os.path.join(VALUES, "certmanager.yaml")],
    "secrets": [os.path.join(VALUES, "secrets.yaml")],
    "everything": [os.path.join(VALUES, "everything.yaml")],
}


LAST_EVENTS = []  # Of the namespace of the claim that failed last.


class Failed(Exception):
    """What a command said."""


def run(*args, stdin=None):
    done = subprocess.run(args, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(args[0])} {' '.join(args[1:4])} …: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kubectl(*args, stdin=None):
    return run(KUBECTL, *args, stdin=stdin)


def objects(kind, namespace, selector="app.kubernetes.io/name=toolwire"):
    return json.loads(kubectl("-n", namespace, "get", kind, "-l", selector, "-o", "json"))["items"]


def until(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.3)


class Namespace:
    """One that enforces a level of PodSecurity."""

    def __init__(self, name, level="restricted"):
        self.name, self.level = name, level

    def __enter__(self):
        kubectl("apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": {
                "pod-security.kubernetes.io/enforce": self.level}}}))
        kubectl("-n", self.name, "create", "serviceaccount", "migrator")
        until("the service account", lambda: "default" in kubectl("-n", self.name, "get", "serviceaccount", "-o", "name"))
        return self.name

    def __exit__(self, wrong, *_):
        if wrong:
            LAST_EVENTS[:] = kubectl("-n", self.name, "get", "events", "--sort-by=.lastTimestamp").splitlines()
        kubectl("delete", "namespace", self.name, "--timeout", "180s")


def arguments(values, extra=()):
    found = [word for path in SETS[values] for word in ("--values", path)]
    return [*found, *HERE, *extra]


def helm(version, verb, namespace, *args, release="toolwire"):
    return run(HELMS[version], verb, release, "--namespace", namespace, *args)


def install(version, namespace, values, *extra, verb="install"):
    return helm(version, verb, namespace, CHART, "--wait", "--timeout", "180s", *arguments(values, extra))


def pods(namespace):
    found = objects("pods", namespace)
    return {one["metadata"]["name"]: one for one in found if "deletionTimestamp" not in one["metadata"]}


def workloads(namespace):
    return objects("deployments,statefulsets", namespace)


def balance():
    """Gives Services of type LoadBalancer an address, for which helm 3 waits. No cloud is here that would."""
    while True:
        for one in json.loads(kubectl("get", "services", "--all-namespaces", "-o", "json"))["items"]:
            if one["spec"]["type"] != "LoadBalancer" or one["status"].get("loadBalancer", {}).get("ingress"):
                continue
            status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
            subprocess.run([KUBECTL, "-n", one["metadata"]["namespace"], "patch", "service", one["metadata"]["name"],
                            "--subresource=status", "-p", json.dumps(status)], capture_output=True, check=False)
        time.sleep(2)


# --- claims --------------------------------------------------------------------------------------------------------


def installs(version, values):
    everything = values == "everything"
    extra = OTHER_SCHEDULER if everything else ()
    with Namespace(f"set-{values}", "privileged" if everything else "restricted") as namespace:
        install(version, namespace, values, *extra)
        for one in workloads(namespace):
            wanted, ready = one["spec"]["replicas"], one["status"].get("readyReplicas", 0)
            assert wanted == ready > 0, f"{one['metadata']['name']}: {ready} of {wanted} ready"
        # What the server has is what the chart says, and nothing in it is unknown to the server.
        manifest = run(HELMS[version], "get", "manifest", "toolwire", "--namespace", namespace)
        kubectl("-n", namespace, "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest)
        before = pods(namespace).keys()
        install(version, namespace, values, *extra, verb="upgrade")
        assert pods(namespace).keys() == before, "an upgrade that changes nothing replaced pods"
        if values != "minimal":
            helm(version, "test", namespace, "--timeout", "120s")
        helm(version, "uninstall", namespace, "--wait")
        until("all pods are gone", lambda: not objects("pods", namespace))
        left = [f"{one['kind']}/{one['metadata']['name']}" for one in objects(
            "all,configmaps,secrets,networkpolicies,poddisruptionbudgets,ingresses,serviceaccounts,jobs,roles,rolebindings,certificates.cert-manager.io,backendtlspolicies", namespace)]
        assert not left, f"left behind: {left}"


def upgrades_and_rolls_back(version):
    with Namespace("upgrade") as namespace:
        install(version, namespace, "production")
        first = pods(namespace).keys()
        install(version, namespace, "production", "--set", "control.flags.calls-max=1000", verb="upgrade")
        second = pods(namespace).keys()
        edges = {name for name in first if "-edge-" in name}
        assert edges <= set(second), "a setting of control replaced edges"
        assert not {name for name in first - edges} & set(second), "control's pods were not replaced"
        helm(version, "rollback", namespace, "1", "--wait", "--timeout", "180s")
        until("control is as it was", lambda: not {n for n in pods(namespace) if "-control-" in n} & set(second))
        history = json.loads(helm(version, "history", namespace, "-o", "json"))
        assert history[-1]["status"] == "deployed", history[-1]


def reuses_values(version):
    with Namespace("reuse") as namespace:
        install(version, namespace, "minimal")
        before = pods(namespace).keys()
        helm(version, "upgrade", namespace, CHART, "--reuse-values", "--wait", "--timeout", "180s")
        assert pods(namespace).keys() == before, "pods were replaced"


def turns_switches(version):
    """What an upgrade may change, step by step: a field that nobody may change, or one left from before, is refused."""
    steps = ("", "edge.persistence.enabled=true", "edge.persistence.enabled=true,edge.autoscaling.enabled=true,edge.autoscaling.sessions=100",
             "edge.service.type=LoadBalancer,edge.service.port=443,control.service.type=NodePort", "control.autoscaling.enabled=true,control.updateStrategy.type=Recreate",
             "commonLabels.a=b,edge.podLabels.c=d,edge.ports.agents=9000,edge.ports.metrics=9001", "networkPolicy.enabled=false,serviceAccount.create=false,test.enabled=false",
             "edge.service.ipFamilyPolicy=PreferDualStack,monitoring.serviceMonitor.enabled=true,ingress.enabled=true,gateway.enabled=true,gateway.parentRefs[0].name=a",
             "tls.mode=generated,auth.tokens.existingSecret=t,test.token.existingSecret=t", "tls.mode=generated,tls.links.enabled=false,tls.callers.clientCertificates=true",
             "tls.mode=certManager,tls.certManager.issuerRef.name=a,gateway.enabled=true,gateway.parentRefs[0].name=a",
             "tls.mode=secret,tls.agents.existingSecret=a,tls.callers.enabled=false,tls.links.edgeSecret=b,tls.links.controlSecret=c", "tls.mode=off",
             "dev.redis.enabled=true,dev.postgresql.enabled=true,redis.existingSecret=,database.existingSecret=")
    with Namespace("switches") as namespace:
        # Helm forgets all but ten revisions else.
        base = ["--install", CHART, "--history-max", "0", "--set", "redis.existingSecret=a,database.existingSecret=b,migrate.enabled=false"]
        for step in steps:
            try:
                helm(version, "upgrade", namespace, *base, "--set", step)
            except Failed as wrong:
                raise Failed(f"{step or 'defaults'}: {wrong}") from wrong
        # As text, as some tools give every value.
        helm(version, "upgrade", namespace, *base, "--set-string",
             "edge.replicas=3,podSecurityContext.runAsUser=1000,edge.livenessProbe.periodSeconds=9,edge.autoscaling.enabled=true,networkPolicy.enabled=false")
        helm(version, "rollback", namespace, "2")
        helm(version, "uninstall", namespace)


def two_releases(version):
    with Namespace("two") as namespace:
        for release in ("one", "two"):
            helm(version, "install", namespace, CHART, "--wait", "--timeout", "180s", *arguments("minimal"), release=release)
        for release in ("one", "two"):
            found = objects("pods", namespace, f"app.kubernetes.io/instance={release}")
            assert found and all(one["metadata"]["name"].startswith(release) for one in found), release
            slices = objects("endpointslices", namespace, f"app.kubernetes.io/instance={release}")
            names = {ref["targetRef"]["name"] for one in slices for ref in one["endpoints"] or []}
            assert names <= {one["metadata"]["name"] for one in found}, f"{release} serves the other's pods"
        helm(version, "uninstall", namespace, "--wait", release="one")
        for one in objects("deployments", namespace, "app.kubernetes.io/instance=two"):
            assert one["status"]["readyReplicas"] == one["spec"]["replicas"], "the other release was touched"


def long_names(version):
    with Namespace("long") as namespace:
        name = "a" * 53
        helm(version, "install", namespace, CHART, "--wait", "--timeout", "180s", *arguments("persistent"),
             "--set", f"fullnameOverride={'b' * 63}", release=name)


def spreads(version):
    with Namespace("spread") as namespace:
        install(version, namespace, "production", "--set", "edge.autoscaling.enabled=false,control.replicas=2")
        zone = {one["metadata"]["name"]: one["metadata"]["labels"]["topology.kubernetes.io/zone"]
                for one in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]}
        for part in ("edge", "control"):
            found = {zone[one["spec"]["nodeName"]] for name, one in pods(namespace).items() if f"-{part}-" in name}
            assert len(found) == 2, f"{part} in {found}"


def drains(version):
    for replicas in ("1", "2"):
        with Namespace("drain" + replicas) as namespace:
            install(version, namespace, "production", "--set", "edge.autoscaling.enabled=false",
                    "--set", f"edge.replicas={replicas}", "--set", f"control.replicas={replicas}")
            node = next(iter(pods(namespace).values()))["spec"]["nodeName"]
            try:
                kubectl("drain", node, "--timeout", "120s", "--delete-emptydir-data", "--pod-selector", "app.kubernetes.io/name=toolwire")
            finally:
                kubectl("uncordon", node)
            until("all are ready again", lambda: all(
                one["status"].get("readyReplicas") == one["spec"]["replicas"] for one in workloads(namespace)))


def hook_secrets_go(version):
    with Namespace("hooks") as namespace:
        install(version, namespace, "production", "--set", "database.existingSecret=",
                "--set", "database.url=postgresql://u:p@db/x")
        left = [one["metadata"]["name"] for one in objects("jobs,secrets", namespace) if "migrate" in one["metadata"]["name"]]
        assert not left, left


def refuses_what_restricted_refuses(version):
    with Namespace("refused") as namespace:
        # That the namespace enforces what it says: without this, the others prove little.
        install_without_wait = [CHART, *arguments("minimal"), "--set", "securityContext.allowPrivilegeEscalation=true"]
        helm(version, "install", namespace, *install_without_wait)
        time.sleep(2)
        assert not objects("pods", namespace), "a pod that may escalate was taken"


def main():
    claims = []
    for version in HELMS:
        claims += [(f"{version}: the value set `{one}` installs, upgrades to itself, is tested and goes",
                    lambda version=version, one=one: installs(version, one)) for one in SETS]
        claims += [
            (f"{version}: {text}", lambda version=version, claim=claim: claim(version)) for text, claim in (
                ("an upgrade rolls what it changes and nothing else, and a rollback takes it back", upgrades_and_rolls_back),
                ("--reuse-values leaves the pods alone", reuses_values),
                ("upgrades may turn each switch on and off, also by text", turns_switches),
                ("two releases in one namespace do not touch each other", two_releases),
                ("names of 53 and 63 letters are taken", long_names),
            )]
    claims += [
        ("replicas are spread over zones", lambda: spreads("helm 3")),
        ("a node is drained with one replica of each, and with two", lambda: drains("helm 3")),
        ("nothing of the hooks stays", lambda: hook_secrets_go("helm 3")),
        ("the namespaces of these tests do enforce `restricted`", lambda: refuses_what_restricted_refuses("helm 3")),
    ]
    threading.Thread(target=balance, daemon=True).start()
    only = sys.argv[1:]
    passed = failed = 0
    for text, claim in claims:
        if only and not any(word in text for word in only):
            continue
        begin = time.monotonic()
        try:
            claim()
            passed += 1
            print(f"ok      {text} ({time.monotonic() - begin:.1f} s)", flush=True)
        except (Failed, AssertionError, KeyError) as wrong:
            failed += 1
            print(f"FAILED  {text}\n        {wrong}", flush=True)
            for event in LAST_EVENTS[-10:]:
                print(f"        {event}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
