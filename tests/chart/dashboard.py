"""The queries of ../../helm/dashboards, by promtool: each tells something of the one backup that is chosen, the same when others
are scraped beside it, and nothing when nothing is scraped. Nothing but `job` and `instance` tells the pods apart here, as where
Prometheus scrapes by annotations alone."""

import json
import pathlib
import re
import tempfile

import yaml

from chart import CHART, PROMTOOL, Faults, run

DASHBOARD = CHART / "dashboards" / "azul-backup.json"

# What Grafana puts in.
CHOSEN = {"$namespace": "n", "$backup": "01", "$__rate_interval": "5m"}

# The id of a backup, its namespace, and a figure by which its series differ from those of the others.
ONE = ("01", "n", 1)
BESIDE = [("02", "n", 5), ("03", "n", 0), ("01", "elsewhere", 7), ("02", "elsewhere", 0)]

COUNTERS = re.compile("_total$|^recovery_(backup|restore)_stats$|_error$|_(bucket|count|sum)$")

LABELS = {"source": "s", "feed": "s/binary/sourced", "event": "binary/sourced", "stat": "streams-ok", "keyword": "k", "operation": "o",
          "kind": "streams", "method": "m", "result": "ok", "streampath": "p"}

WHEN = "90m"


def queries():
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for variable, value in CHOSEN.items():
                expr = expr.replace(variable, value)
            yield f"{panel['title']} {target['refId']}", expr


def series(name, backup):
    """All series of this name that a backup has."""
    label, namespace, figure = backup
    own = {"job": "j", "instance": f"{namespace}-{label}", "namespace": namespace}
    if name == "azul_backup_build_info":
        wholes = [own | {"mode": "backup", "version": f"of-{label}", "backup_id": label}]
    elif name.endswith("_stage"):
        wholes = [own | {"stage": f"of-{label}"}]
    elif name.endswith("_bucket"):
        wholes = [own | LABELS | {"le": le} for le in ("1", "2", "+Inf")]
    else:
        wholes = [own | LABELS]
    for step, labels in enumerate(wholes, 1):
        figure_here = 1 if name.endswith(("_stage", "_info")) else figure * min(step, 2)
        values = f"0+{figure_here}x100" if COUNTERS.search(name) else f"{figure_here}x100"
        yield {"series": name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}", "values": values}


def told(exprs, backups, names):
    """What each query gives, as promtool says it; nothing is expected, so whatever comes is told."""
    case = {"interval": "1m", "input_series": [one for name in names for backup in backups for one in series(name, backup)],
            "promql_expr_test": [{"expr": expr, "eval_time": WHEN, "exp_samples": []} for expr in exprs]}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "test.yaml").write_text(yaml.safe_dump({"tests": [case]}))
        _, said = run(PROMTOOL, "test", "rules", "test.yaml", cwd=folder)
    found = re.findall(r'expr: ("(?:[^"\\]|\\.)*"), time: [^\n]*\n\s+exp: ?nil\n\s+got: ?([^\n]*)', said)
    if ", err: " in said or "parse error" in said:
        raise ValueError(said)
    return {json.loads(expr): got for expr, got in found}


def main():
    faults = Faults()
    asked = dict(queries())
    names = sorted({name for expr in asked.values() for name in re.findall(r"\b(?:azul_backup|recovery|process)_\w+", expr)})
    nothing, alone, beside = (told(asked.values(), backups, names) for backups in ([], [ONE], [ONE, *BESIDE]))
    idle = told(asked.values(), [ONE], ["azul_backup_build_info"])
    for where, expr in asked.items():
        if expr in nothing:
            faults.add(f"{where}: tells {nothing[expr]} when nothing is scraped: {expr}")
        if expr not in alone:
            faults.add(f"{where}: tells nothing of a backup: {expr}")
        if beside.get(expr) != alone.get(expr):
            faults.add(f"{where}: {alone.get(expr)} of one backup is {beside.get(expr)} when others are scraped: {expr}")
        if " or 0 * " in expr and idle.get(expr) != "{} 0E+00":
            faults.add(f"{where}: {idle.get(expr)} and not 0 where there is nothing to tell: {expr}")
    faults.finish(f"{len(asked)} queries of the dashboard")


main()
