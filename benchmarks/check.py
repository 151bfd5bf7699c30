"""What a full check costs and which planted bugs it catches, beside torch.autograd.gradcheck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import bncheck
from benchmarks import peers
from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number, shape_text
from benchmarks.timing import side_by_side
from bncheck.case import Case
from bncheck.compare import Verdict, Vjp
from bncheck.mutants import BATCH_NORM, correct, mutants_for

Shape = tuple[int, ...]

SHAPES: tuple[Shape, ...] = ((8, 4), (32, 16), (4, 3, 8, 8), (64, 64))


def run(effort: Effort) -> Result:
    """Times the three checks, then counts what each catches."""
    smoke = effort is Effort.SMOKE
    shapes = SHAPES[:2] if smoke else SHAPES
    with peers.one_thread():
        times = {shape: _times(shape, rounds=2 if smoke else 5) for shape in shapes}
        seeds = 2 if smoke else 50
        slow_shapes = shapes[:1] if smoke else shapes if effort is Effort.FULL else SHAPES[:-1]
        caught = {name: _count(mutant, shapes, slow_shapes, seeds) for name, mutant in _planted().items()}
        alarms = _count(None, shapes, slow_shapes, seeds)
    largest = times[shapes[-1]]
    everywhere = seeds * len(shapes)
    missed = sum(everywhere - count.full for count in caught.values())
    return Result(
        "A full check, beside torch.autograd.gradcheck",
        (_cost(times), _catch(caught, alarms, shapes, slow_shapes, seeds)),
        (
            Requirement(
                f"slow gradcheck ÷ full check at {shape_text(shapes[-1])}",
                largest["slow"] / largest["full"],
                200,
                at_least=True,
                judged=not smoke,
            ),
            Requirement("planted bugs that the full check misses", missed, 0),
            Requirement("false alarms of the full check", alarms.full, 0),
        ),
    )


@dataclass(frozen=True)
class _Count:
    """How often each check found fault: the full one over all shapes, fast gradcheck at each."""

    full: int
    slow: int
    fast: Mapping[Shape, int]


def _random_case(shape: Shape, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    parameters = {name: rng.normal(size=shape[1]) for name in ("gamma", "beta")}
    return Case(peers.LAYOUTS[len(shape)], rng.normal(size=shape), rng.normal(size=shape), parameters, peers.EPS)


def _planted() -> Mapping[str, Vjp]:
    """The bugs of the backward pass: the forward pass stays torch's."""
    mutants = mutants_for(BATCH_NORM, _random_case(SHAPES[0], 0))
    return {name: mutant.vjp for name, mutant in mutants.items() if "y" not in mutant.shows}


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


def _count(mutant: Vjp | None, shapes: tuple[Shape, ...], slow_shapes: tuple[Shape, ...], seeds: int) -> _Count:
    """How often each check finds fault with a mutant, or with the same code without a bug."""
    function = peers.planted(mutant or correct)
    full, fast = 0, dict.fromkeys(shapes, 0)
    for shape in shapes:
        for seed in range(seeds):
            case = _random_case(shape, seed)
            verdict = bncheck.check(peers.vjp(function), case, forward=peers.forward).verdict
            full += verdict.failed if mutant else verdict is not Verdict.CORRECT
            fast[shape] += not peers.gradcheck(function, case, fast=True)
    slow = sum(not peers.gradcheck(function, _random_case(shape, 0), fast=False) for shape in slow_shapes)
    return _Count(full, slow, fast)


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


def _catch(
    caught: Mapping[str, _Count],
    alarms: _Count,
    shapes: tuple[Shape, ...],
    slow_shapes: tuple[Shape, ...],
    seeds: int,
) -> Table:
    first, *others = map(shape_text, shapes)
    rows = []
    for name, count in [*caught.items(), ("(no bug)", alarms)]:
        full, slow = f"{count.full}/{seeds * len(shapes)}", f"{count.slow}/{len(slow_shapes)}"
        rows.append((name, full, slow, *(str(count.fast[shape]) for shape in shapes)))
    return Table(
        ("planted bug", "full", "slow", f"fast {first}", *others),
        tuple(rows),
        f"How often a bug planted in the backward pass was caught: {seeds} random cases at each of "
        f"{', '.join(map(shape_text, shapes))} for the full check, all of them together, and for fast gradcheck, shape "
        f"by shape; one case at each of {', '.join(map(shape_text, slow_shapes))} for slow gradcheck. The last row "
        "counts false alarms. gradcheck takes any function, with the tolerance it is given (here its default); bncheck "
        "knows the layer and computes its tolerance.",
    )
