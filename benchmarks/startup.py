"""What it costs to start: a layer derived, proved and compiled in a fresh process, and the command line's help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median

from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number
from benchmarks.timing import side_by_side

CHILD = """
import json
from time import perf_counter as now
times = [now()]
import sympy
times.append(now())
from bncheck import LAYERS, derive, lower, prove
times.append(now())
layer = LAYERS["batch_norm"]
layout = layer.layouts[0]
assert prove(derive(layer, layout)).proved
lower(layer, layout)
times.append(now())
print(json.dumps([1e3 * (b - a) for a, b in zip(times, times[1:])]))
"""


def run(effort: Effort) -> Result:
    """Runs fresh processes, each kind once unmeasured, so that bytecode is compiled and files are cached."""
    smoke = effort is Effort.SMOKE
    rounds = 2 if smoke else 9
    python(["-c", CHILD])
    children: list[list[float]] = [json.loads(python(["-c", CHILD])) for _ in range(rounds)]
    relative = [[time / child[0] for time in child] for child in children]
    steps = ("import sympy", "import bncheck (and NumPy)", "derive, prove and compile batch_norm")
    inside = [
        (step, number(median(c[k] for c in children)), number(median(r[k] for r in relative)))
        for k, step in enumerate(steps)
    ]
    best = side_by_side(
        {
            "python -c 'import numpy'": lambda: python(["-c", "import numpy"]),
            "python -m bncheck --help": lambda: python(["-m", "bncheck", "--help"]),
        },
        rounds,
    )
    base, command = best.values()
    whole = [(f"`{name}`", number(time), number(time / base)) for name, time in best.items()]
    return Result(
        "Startup",
        (
            Table(
                ("in a fresh process", "ms", "÷ import sympy"),
                tuple(inside),
                f"Medians over {rounds} processes, each ratio taken within its own process.",
            ),
            Table(
                ("a whole process", "ms", "÷ import numpy"),
                tuple(whole),
                f"Best of {rounds} interleaved rounds, bytecode compiled.",
            ),
        ),
        (
            Requirement(
                "derive, prove and compile ÷ import sympy", median(r[2] for r in relative), 1, judged=not smoke
            ),
            Requirement("bncheck --help ÷ import numpy", command / base, 2, judged=not smoke),
        ),
    )


def python(arguments: list[str]) -> str:
    """The output of a fresh Python process that may keep its bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
