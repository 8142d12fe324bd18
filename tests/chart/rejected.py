"""Every case of rejected.yaml is refused, with a message that says what it should."""

import json
import tempfile

import yaml

from chart import CHART, HERE, NEWEST, Faults, helm


def main():
    faults = Faults()
    cases = yaml.safe_load((HERE / "rejected.yaml").read_text())
    for case in cases:
        base = HERE / "values" / f"{case.get('base', 'minimal')}.yaml"
        with tempfile.NamedTemporaryFile("w", suffix=".json") as values:
            json.dump(case["values"], values)
            values.flush()
            accepted, _, said = helm(
                "template", "azul", CHART, "--values", base, "--values", values.name, "--kube-version", f"{NEWEST}.0"
            )
        shown = json.dumps(case["values"])
        if accepted:
            faults.add(f"{shown} is accepted")
        elif case["says"] not in said:
            faults.add(f"{shown}: `{case['says']}` is not in: {said.strip()}")
    old, _, said = helm(
        "template", "azul", CHART, "--values", HERE / "values" / "minimal.yaml", "--kube-version", "1.28.0"
    )
    if old or "1.29" not in said:
        faults.add("a cluster that is too old is not refused")
    faults.finish(f"{len(cases) + 1} cases of values that are refused")


main()
