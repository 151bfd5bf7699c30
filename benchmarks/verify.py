"""How long the campaign takes, and how many of its cases say something."""

from __future__ import annotations

import json
import subprocess
import sys
from time import perf_counter

from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number


def run(effort: Effort) -> Result:
    """Runs the command once, as a user would."""
    smoke = effort is Effort.SMOKE
    options = ["verify", *(["--quick", "--layer", "batch_norm"] if smoke else [])]
    start = perf_counter()
    command = [sys.executable, "-m", "bncheck", *options, "--format", "json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, encoding="utf-8")
    seconds = perf_counter() - start
    report = json.loads(done.stdout or '{"layers": [], "verdict": "crashed"}')
    cases, vacuous, inconclusive = (
        sum(layer[name] for layer in report["layers"]) for name in ("cases", "vacuous", "inconclusive")
    )
    numbers = map(number, (seconds, len(report["layers"]), cases, vacuous, inconclusive))
    row = (" ".join(options), *numbers, report["verdict"])
    return Result(
        "The campaign",
        (
            Table(
                ("command", "seconds", "layers", "cases", "vacuous", "inconclusive", "verdict"),
                (row,),
                "Wall time of one run in a process of its own. A vacuous case could not have told every essential "
                "planted bug from the truth.",
            ),
        ),
        (
            Requirement("seconds", seconds, 60, judged=not smoke),
            Requirement("cases that are not vacuous", cases - vacuous, 300, at_least=True, judged=not smoke),
            Requirement("exit status", done.returncode, 0),
        ),
    )
