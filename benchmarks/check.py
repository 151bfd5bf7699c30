"""What a full check costs, beside torch.autograd.gradcheck; which bugs each catches, `benchmarks.score` counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import bncheck
from benchmarks import peers
from benchmarks.plants import EPS, SHAPES, Shape
from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number, shape_text
from benchmarks.timing import side_by_side
from bncheck.case import Case


def run(effort: Effort) -> Result:
    """Times the three checks side by side."""
    smoke = effort is Effort.SMOKE
    shapes = SHAPES[:2] if smoke else SHAPES
    with peers.one_thread():
        times = {shape: _times(shape, rounds=2 if smoke else 5) for shape in shapes}
    largest = times[shapes[-1]]
    return Result(
        "What a full check costs, beside torch.autograd.gradcheck",
        (_cost(times),),
        (
            Requirement(
                f"slow gradcheck ÷ full check at {shape_text(shapes[-1])}",
                largest["slow"] / largest["full"],
                200,
                at_least=True,
                judged=not smoke,
            ),
        ),
    )


def _random_case(shape: Shape, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    parameters = {name: rng.normal(size=shape[1]) for name in ("gamma", "beta")}
    return Case(peers.LAYOUTS[len(shape)], rng.normal(size=shape), rng.normal(size=shape), parameters, EPS)


def _times(shape: Shape, rounds: int) -> dict[str, float]:
    case, vjp = _random_case(shape, 0), peers.vjp(peers.batch_norm)
    return side_by_side(
        {
            "full": lambda: bncheck.check(vjp, case, forward=peers.forward),
            "slow": lambda: peers.gradcheck(peers.batch_norm, case, fast=False),
            "fast": lambda: peers.gradcheck(peers.batch_norm, case, fast=True),
        },
        rounds,
    )


def _cost(times: Mapping[Shape, Mapping[str, float]]) -> Table:
    rows = []
    for shape, best in times.items():
        full, slow, fast = (best[name] for name in ("full", "slow", "fast"))
        rows.append((shape_text(shape), *map(number, (full, slow, fast, slow / full, fast / full))))
    return Table(
        ("x, float64", "full, ms", "slow, ms", "fast, ms", "slow ÷ full", "fast ÷ full"),
        tuple(rows),
        "full: `bncheck.check` of `torch.nn.functional.batch_norm`, every element against the layer's definition and "
        "against finite differences of torch's own forward; slow and fast: `gradcheck` in these modes. Best of several "
        "interleaved rounds, torch on one thread, since more only slow it down at these sizes. bncheck derives the "
        "layer once per process, before the clock starts: the startup benchmark tells what that costs.",
    )
