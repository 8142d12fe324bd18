"""What all checks of the chart share: where things are, how helm is called, how a check fails."""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "helm"

HELM = os.environ.get("HELM", "helm")
PROMTOOL = os.environ.get("PROMTOOL", "promtool")

# The oldest version that Chart.yaml lets in, and the newest that there are schemas for.
OLDEST, NEWEST = "1.29", "1.37"


class Faults:
    """Counts and tells them; a check goes on after one, so that all are seen at once."""

    def __init__(self):
        self.count = 0

    def add(self, text):
        self.count += 1
        print(f"FAILED: {text}", file=sys.stderr)

    def finish(self, what):
        if self.count:
            sys.exit(f"{what}: {self.count} faults")
        print(f"{what}: ok")


def run(*args, cwd=None):
    """Runs a tool; returns (succeeded, all that it said)."""
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, cwd=cwd)
    return done.returncode == 0, done.stdout + done.stderr


def helm(*args, text=None):
    """Runs helm; returns (succeeded, output, errors)."""
    done = subprocess.run([HELM, *map(str, args)], input=text, capture_output=True, text=True)
    return done.returncode == 0, done.stdout, done.stderr


def render(values, kubernetes):
    """The manifests of a file of values, as helm would send them to such a cluster."""
    return helm(
        "template", "azul", CHART, "--namespace", "azul", "--values", values, "--kube-version", f"{kubernetes}.0"
    )
