"""The rules of ../../helm/alerts, by promtool: their syntax, the cases of alerts/*_test.yaml, and that these cases judge every
rule: one that never fires, and one that always fires, must fail them. And each rule says what an operator needs."""

import pathlib
import re
import shutil
import tempfile

import yaml

from chart import CHART, HELM, HERE, NEWEST, PROMTOOL, Faults, render, run

SEVERITIES = {"critical", "warning"}


def promtool(*args, cwd=None):
    return run(PROMTOOL, *args, cwd=cwd)


def judged(rule, cases):
    """Whether the cases that are named after this rule hold for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
        own = [case for case in cases["tests"] if case["name"].startswith(rule["alert"])]
        (folder / "test.yaml").write_text(yaml.safe_dump(dict(cases, rule_files=["rules.yaml"], tests=own)))
        return promtool("test", "rules", "test.yaml", cwd=folder)[0]


def mutations(mode, rules, faults):
    """Every rule, spoilt in both directions, has to be noticed."""
    cases = yaml.safe_load((HERE / "alerts" / f"{mode}_test.yaml").read_text())
    for rule in rules:
        if not judged(rule, cases):
            faults.add(f"{rule['alert']}: its own cases do not hold, or there are none")
        for kind, expr in ("never", "vector(1) > 2"), ("always", f"({rule['expr']}) or vector(1)"):
            if judged(dict(rule, expr=expr), cases):
                faults.add(f"{rule['alert']}: no case notices when it {kind} fires")


def anchors(text):
    """What headings can be linked by."""
    return {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines() if line.startswith("#")}


def told(rule, runbook, faults):
    name, annotations = rule["alert"], rule["annotations"]
    if rule["labels"].get("severity") not in SEVERITIES:
        faults.add(f"{name}: its severity is none of {sorted(SEVERITIES)}")
    for needed in "summary", "description", "runbook_url":
        if not annotations.get(needed):
            faults.add(f"{name}: no {needed}")
    page, _, anchor = annotations["runbook_url"].partition("#")
    if page != "RUNBOOK.md" or anchor != name.lower() or anchor not in runbook:
        faults.add(f"{name}: {annotations['runbook_url']} is no section of the runbook")


def texts_expand(mode, rules, faults):
    """A text with a fault in its template is told as `error expanding template` when the alert fires. Every rule is made
    to fire, for a series with labels and for one without, nothing is expected, and what promtool says that it got is looked at."""
    always = [dict({k: v for k, v in rule.items() if k != "for"}, expr="demo") for rule in rules]
    series = 'demo{feed="s/binary/sourced",source="s",pod="p",job_name="j"}', "demo"
    case = {"alert_rule_test": [{"eval_time": "1m", "alertname": rule["alert"], "exp_alerts": []} for rule in rules],
            "interval": "1m", "input_series": [{"series": one, "values": "7x5"} for one in series]}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": mode, "rules": always}]}))
        (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [case]}))
        _, said = promtool("test", "rules", "test.yaml", cwd=folder)
    if said.count("summary=") != len(series) * len(rules):
        faults.add(f"{mode}: {said.count('summary=')} of {len(series) * len(rules)} texts were seen: {said}")
    for bad in "error expanding", "<no value>", "{{":
        if bad in said:
            faults.add(f"{mode}: `{bad}` in the texts: {said}")


def as_rendered(cases, faults):
    """What the chart makes of the rules, for the file of values that these cases are named after."""
    name = cases.name.removesuffix("_test.yaml")
    rendered, text, said = render(HERE / "values" / f"{name}.yaml", NEWEST)
    if not rendered:
        return faults.add(said.strip())
    rule = next(manifest for manifest in yaml.safe_load_all(text) if manifest and manifest["kind"] == "PrometheusRule")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
        (folder / "test.yaml").write_text(cases.read_text())
        for command in ("check", "rules", "--lint-fatal", "rules.yaml"), ("test", "rules", "test.yaml"):
            good, said = promtool(*command, cwd=folder)
            if not good:
                faults.add(f"as the chart renders them for {name}: {said.strip()}")


def main():
    faults = Faults()
    runbook = anchors((CHART / "RUNBOOK.md").read_text())
    names = []
    for mode in "backup", "restore", "off":
        file = CHART / "alerts" / f"{mode}.yaml"
        for command in ("check", "rules", file), ("test", "rules", HERE / "alerts" / f"{mode}_test.yaml"):
            good, said = promtool(*command)
            if not good:
                faults.add(said.strip())
        rules = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
        names += [rule["alert"] for rule in rules]
        for rule in rules:
            told(rule, runbook, faults)
        texts_expand(mode, rules, faults)
        mutations(mode, rules, faults)
    if shutil.which(HELM):
        for cases in sorted((HERE / "alerts" / "rendered").glob("*_test.yaml")):
            as_rendered(cases, faults)
    else:
        print("skipped: alerts as the chart renders them (no helm)")
    if len(names) != len(set(names)):
        faults.add("two alerts of one name")
    faults.finish(f"{len(names)} alerts")


main()
