"""Every file below values/ is rendered for the oldest and the newest Kubernetes, held against the schemas of its API, and
compared with its snapshot.

    rendered.py            fails where a manifest is no longer what snapshots/ has
    rendered.py --update   writes snapshots/ anew: look at the difference
"""

import json
import re
import sys
import tempfile
import textwrap

import kubernetes_validate
import yaml

from chart import CHART, HERE, NEWEST, OLDEST, Faults, helm, render

# There are no schemas of these: what matters of their structure is looked at below.
CUSTOM = {"PodMonitor": "monitoring.coreos.com/v1", "PrometheusRule": "monitoring.coreos.com/v1"}


def pod_monitor(spec):
    yield set(spec) == {"selector", "podTargetLabels", "podMetricsEndpoints"}, "fields of spec"
    yield set(spec["selector"]) <= {"matchLabels", "matchExpressions"}, "spec.selector"
    yield all(isinstance(label, str) for label in spec["podTargetLabels"]), "spec.podTargetLabels"
    fields = {"port": "metrics", "path": "/metrics"}
    for endpoint in spec["podMetricsEndpoints"]:
        yield set(endpoint) == {"port", "path", "interval", "scrapeTimeout"}, "fields of an endpoint"
        yield all(endpoint.get(name) == value for name, value in fields.items()), "port and path of an endpoint"


def prometheus_rule(spec):
    yield set(spec) == {"groups"} and spec["groups"], "spec.groups"
    for group in spec["groups"]:
        yield set(group) == {"name", "rules"} and group["rules"], "fields of a group"
        for rule in group["rules"]:
            yield {"alert", "expr", "labels", "annotations"} <= set(rule) <= {
                "alert", "expr", "for", "labels", "annotations"}, "fields of a rule"
            texts = [rule["expr"], rule["alert"], *rule["labels"].values(), *rule["annotations"].values()]
            yield all(isinstance(text, str) for text in texts), "texts of a rule"
            yield re.match("https?://", rule["annotations"].get("runbook_url", "https://")), "a runbook_url that is no URL"


def custom(manifest, where, faults):
    kind = manifest["kind"]
    if manifest["apiVersion"] != CUSTOM[kind]:
        faults.add(f"{where}: {kind} of {manifest['apiVersion']}")
    checks = pod_monitor if kind == "PodMonitor" else prometheus_rule
    for holds, what in checks(manifest["spec"]):
        if not holds:
            faults.add(f"{where}: {kind}: {what}")


def restricted(manifest, where, faults):
    """What the restricted Pod Security Standard asks for, and what else a pod of ours promises."""
    pod = manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]
    wanted = [
        (pod.get("automountServiceAccountToken") is False, "a token of the service account"),
        (pod["securityContext"].get("runAsNonRoot") is True, "may run as root"),
        (pod["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"}, "no seccomp profile"),
        (all(set(volume) - {"name"} <= {"persistentVolumeClaim", "emptyDir", "configMap"} for volume in pod["volumes"]),
         "a volume of a kind that is not allowed"),
        (not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), "namespaces of the host"),
    ]
    for container in pod["containers"]:
        context = container["securityContext"]
        wanted += [
            (context.get("allowPrivilegeEscalation") is False, "may escalate privileges"),
            (context.get("readOnlyRootFilesystem") is True, "may write to its root"),
            (context.get("capabilities") == {"drop": ["ALL"]}, "has capabilities"),
            ("memory" in container.get("resources", {}).get("limits", {}), "has no limit of memory"),
        ]
    annotations = (manifest if manifest["kind"] == "Pod" else manifest["spec"]["template"])["metadata"]["annotations"]
    serves = any(port["name"] == "metrics" for container in pod["containers"] for port in container.get("ports", []))
    wanted.append((serves or "prometheus.io/scrape" not in annotations, "is to be scraped, and serves nothing"))
    for holds, what in wanted:
        if not holds:
            faults.add(f"{where}: {manifest['kind']} {manifest['metadata']['name']}: {what}")


def check(manifest, version, where, faults):
    if manifest["kind"] in CUSTOM:
        custom(manifest, where, faults)
        return
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as fault:
        place = ".".join(map(str, fault.path))
        faults.add(f"{where}: {manifest['kind']} {manifest['metadata']['name']}: {place}: {fault.message}")
    if manifest["kind"] in {"Pod", "Deployment", "Job"}:
        restricted(manifest, where, faults)


def compare(path, text, update, faults):
    if update:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        was = path.read_text().splitlines() if path.exists() else []
        now = text.splitlines()
        first = next((i for i, (a, b) in enumerate(zip(was, now)) if a != b), min(len(was), len(now)))
        line = now[first] if first < len(now) else "(its end)"
        faults.add(f"snapshots/{path.name}: differs from line {first + 1}: {line}; `--update` writes it anew")


def documented(faults):
    """Values that the documents show whole, as a block that begins with the name of a file, have to be accepted."""
    blocks = []
    for page in sorted(CHART.glob("*.md")):
        blocks += re.findall(r"```yaml\n( *# \w+\.yaml\n.*?)```", page.read_text(), re.DOTALL)
    for block in blocks:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
            values.write(textwrap.dedent(block))
            values.flush()
            accepted, _, said = render(values.name, NEWEST)
        if not accepted:
            faults.add(f"values that are shown in a document: {said.strip()}")
    if not blocks:
        faults.add("no document shows values")


def main():
    update = "--update" in sys.argv[1:]
    faults = Faults()
    counted = 0
    files = sorted((HERE / "values").glob("*.yaml"))
    for values in files:
        texts = []
        linted, said, _ = helm("lint", CHART, "--strict", "--values", values, "--kube-version", f"{OLDEST}.0")
        if not linted:
            faults.add(f"{values.name}: helm lint: {said}")
        for version in OLDEST, NEWEST:
            rendered, text, fault = render(values, version)
            if not rendered:
                faults.add(f"{values.name}: {fault.strip()}")
                continue
            texts.append(text)
            for manifest in filter(None, yaml.safe_load_all(text)):
                counted += 1
                check(manifest, version, f"{values.name} for {version}", faults)
                if manifest["metadata"]["name"].endswith("-dashboard"):
                    json.loads(manifest["data"]["azul-backup.json"])
        if len(set(texts)) > 1:
            faults.add(f"{values.name}: not the same for {OLDEST} and {NEWEST}: make a snapshot of each")
        elif texts:
            compare(HERE / "snapshots" / values.name, texts[0], update, faults)
    documented(faults)
    known = {file.name for file in files}
    for orphan in (HERE / "snapshots").glob("*.yaml"):
        if orphan.name not in known:
            faults.add(f"snapshots/{orphan.name}: there are no such values")
    print(f"not held against a schema, for there is none: {', '.join(sorted(CUSTOM))} (their structure is)")
    faults.finish(f"{counted} manifests of {len(files)} files of values, Kubernetes {OLDEST} and {NEWEST}")


main()
