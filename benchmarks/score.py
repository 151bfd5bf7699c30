"""The score of the checker itself: how many planted bugs it catches and names, beside gradcheck and check_grads."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from benchmarks import jax_peer, peers, written
from benchmarks.plants import GROUPS, OFFSET, SHAPES, STYLES, Plant, Shape, planted
from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number, shape_text
from bncheck.bugs.diagnose import diagnose
from bncheck.case import Array, Case, Vjp
from bncheck.examination import one_case as checks
from bncheck.oracles.finite_difference import Forward, joined
from bncheck.processes import mapped
from bncheck.tolerances.verdicts import Verdict

COLUMNS = ("caught", "named", "consistent", "slow", "fast", "JAX")
"""What bncheck did, by name, then each gradient check; all but consistent count that fault was found."""


SHOWN = tuple(name for name in COLUMNS if name != "consistent")
"""Those that are shown bug by bug."""


class Tally(NamedTuple):
    """How often something happened, out of how many times."""

    times: int = 0
    of: int = 0

    def and_also(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.times + other.times, self.of + other.of)

    def __str__(self) -> str:
        if not self.of:
            return "–"
        percent = 100 * self.times / self.of
        return number(percent) if self.times in (0, self.of) else f"{min(max(percent, 0.1), 99.9):.1f}"

    @property
    def share(self) -> float:
        """The part of the times that it happened; above all others where it was not asked."""
        return self.times / self.of if self.of else math.inf

    @property
    def missing(self) -> int:
        """How often it did not happen."""
        return self.of - self.times


Counts = Mapping[str, Tally]


@dataclass(frozen=True)
class Work:
    """What one process is to count at a time: one plant at one shape."""

    plant: Plant
    shape: Shape
    seeds: int
    named_every: int
    slow: bool


@dataclass(frozen=True)
class File:
    """Or one file of plants, for the whole of `bncheck check`."""

    plants: tuple[Plant, ...]
    kind: str


def run(effort: Effort) -> Result:
    """Plants everything everywhere, and counts."""
    smoke, full = effort is Effort.SMOKE, effort is Effort.FULL
    shapes = SHAPES[::2] if smoke else SHAPES
    slow_shapes = shapes[:1] if smoke else SHAPES if full else SHAPES[:-1]
    seeds, every = (1, 1) if smoke else (50, 1 if full else 5)
    plants = planted(shapes)
    files = list(_files(plants[:2] if smoke else plants))
    fitting = {plant: [shape for shape in shapes if plant.fits(shape)][: 1 if smoke else None] for plant in plants}
    pairs = [(plant, shape) for shape in reversed(shapes) for plant in plants if shape in fitting[plant]]
    arrays = [Work(plant, shape, seeds, every, shape in slow_shapes) for plant, shape in pairs]
    jobs = os.cpu_count() or 1
    with mapped(jobs) as in_order:
        found = list(in_order(counted, [*files, *arrays]))  # the longest first, so that none ends alone
    outcomes = [outcome for some in found[: len(files)] for outcome in some]
    counts = {p: total(c for w, c in zip(arrays, found[len(files) :], strict=True) if w.plant == p) for p in plants}
    return Result(
        "What bncheck catches and names, beside the gradient checks of torch and JAX",
        (_totals(counts, shapes, slow_shapes, seeds, every), by_bug(counts), _end_to_end(outcomes)),
        required(counts, outcomes),
    )


def counted(work: Work | File) -> Any:
    """What came of one piece of work."""
    with peers.one_thread(), np.errstate(all="ignore"):
        return _in_files(work) if isinstance(work, File) else _on_arrays(work)


def total(several: Iterable[Counts]) -> Counts:
    """All of these counts together."""
    zero = dict.fromkeys(COLUMNS, Tally())
    return reduce(lambda a, b: {name: a[name].and_also(b[name]) for name in COLUMNS}, several, zero)


def _on_arrays(work: Work) -> Counts:
    """One plant at one shape, as functions of arrays in this process."""
    seen = {**dict.fromkeys(COLUMNS, ()), **_by_bncheck(work)}
    if work.plant.fits_autograd(work.shape):
        seen |= _by_peers(work)
    return {name: Tally(sum(times), len(times)) for name, times in seen.items()}


def _by_bncheck(work: Work) -> dict[str, Sequence[bool]]:
    """Seed by seed, whether bncheck finds fault, names it, and calls the backward the gradient of its forward."""
    plant, layer = work.plant, work.plant.layer
    targets = [plant.vjp, _in_torch(plant)] if plant.fits_autograd(work.shape) else [plant.vjp]
    caught, named, consistent = [], [], []
    for seed in range(work.seeds):
        case = plant.case(work.shape, seed)
        if plant.group != "effects":  # a diagnosis alone hands out arrays that can be written to
            verdicts = [checks.check(target, case, layer=layer).verdict for target in targets]
            caught += [v.failed if plant.mutant else v is not Verdict.CORRECT for v in verdicts]
            if work.slow and seed == 0:
                own = checks.check(plant.vjp, case, forward=_differenced(plant, case), layer=layer).consistent
                consistent.append(own is None or not own.failed)
        if seed % work.named_every == 0:
            target = targets[seed // work.named_every % len(targets)]
            ids = [bug.id for bug in diagnose(layer, target, plant.probes(work.shape, seed))]
            named.append(ids[:1] == [plant.name] if plant.mutant else bool(ids))
            caught += [bool(ids)] if plant.group == "effects" else []
    return {"caught": caught, "named": named, "consistent": consistent}


def _by_peers(work: Work) -> dict[str, Sequence[bool]]:
    """Seed by seed, whether each gradient check finds fault; the slow one is asked once."""
    plant = work.plant
    jax_passes = jax_peer.check_grads(plant.forward, plant.vjp)
    cases = [plant.case(work.shape, seed) for seed in range(work.seeds)]
    functions = [(peers.planted(plant.forward, plant.vjp, case), case) for case in cases]
    return {
        "slow": [not peers.gradcheck(function, case, fast=False) for function, case in functions[: int(work.slow)]],
        "fast": [not peers.gradcheck(function, case, fast=True) for function, case in functions],
        "JAX": [not jax_passes(case) for case in cases],
    }


def _in_torch(plant: Plant) -> Vjp:
    """A plant as a function of a case that torch's autograd differentiates."""

    def answer(case: Case) -> Mapping[str, Array]:
        function = peers.planted(plant.forward, plant.vjp, case)
        return peers.vjp(function, tuple(plant.forward(case)))(case)

    return answer


def _differenced(plant: Plant, case: Case) -> Forward:
    """A plant's own forward as finite differences take it: of many copies of the batch side by side, too."""

    def forward(x: Array, parameters: Mapping[str, Array]) -> Array:
        copies = [x.shape[k] // case.x.shape[k] for k in case.layout.affine_axes]
        state = {name: np.tile(value, copies) for name, value in case.state.items()}
        asked = Case(case.layout, x, x, parameters, case.eps, state=state, settings=case.settings)
        return joined(case, plant.forward(asked))

    return forward


def _files(plants: Collection[Plant]) -> Iterator[File]:
    for kind in reversed(written.KINDS):
        for home in written.HOMES:
            chosen = tuple(p for p in plants if p.home == home and written.fits(p, kind))
            if chosen:
                yield File(chosen, kind)


Outcome = tuple[Plant, str, bool, bool]
"""A plant, how it was written, whether it was found wrong, whether it was named first."""


def _in_files(work: File) -> list[Outcome]:
    """The plants of one file, as a user would have them checked."""
    reports = written.examined(work.plants, work.kind, work.plants[0].home)
    found = []
    for plant in work.plants:
        report = reports.get(plant)
        alarm = report is not None and (report.verdict.failed if plant.mutant else not report)
        first = report is not None and [bug.id for bug in report.diagnosis][:1] == [plant.name]
        found.append((plant, work.kind, alarm, first))
    return found


def _totals(
    counts: Mapping[Plant, Counts], shapes: Sequence[Shape], slow_shapes: Sequence[Shape], seeds: int, every: int
) -> Table:
    rows = []
    for group in GROUPS:
        inside = [plant for plant in counts if plant.group == group]
        label = f"{group}: {len(inside)}" if group else f"correct code: {len(inside)}"
        if inside:
            rows.append((label, *_cells(total(counts[plant] for plant in inside))))
    bugs = [plant for plant in counts if plant.mutant]
    rows.insert(-1, (f"all bugs: {len(bugs)}", *_cells(total(counts[plant] for plant in bugs))))
    named = "at every seed" if every == 1 else "at every fifth seed"
    return Table(
        ("planted, % of checks", *COLUMNS),
        tuple(rows),
        f"Every bug of the catalogue is planted in the first layer or mode that it is a bug of, and correct code in "
        f"{len(STYLES)} styles in each: {seeds} random cases in float64 at {', '.join(map(shape_text, shapes))}. "
        "caught: bncheck finds fault, in NumPy and through torch's autograd; named: its diagnosis begins with the "
        f"right id, asked {named}, in NumPy and torch by turns. slow, fast: `torch.autograd.gradcheck` in these modes; "
        f"JAX: `check_grads(order=1, modes=('rev',))` of `jax.test_util` {jax_peer.VERSION}, in one random direction; "
        "each at its default tolerances. slow and consistent are asked once at each of "
        f"{', '.join(map(shape_text, slow_shapes))}. A backward bug is not the gradient of its forward. A forward bug "
        "is another forward with the gradient of that: no gradient check can see it, but for the noise of a one-pass "
        "variance; bncheck, too, calls most of them consistent, and says that none conforms. That variance is planted "
        f"at a mean of {OFFSET:.0f}, where it loses half of float64's digits: nearer to zero its error can be one that "
        "rounding explains. Effects, on the caller's arrays and dtypes, are planted in NumPy alone, as are gradients "
        "of wrong shape: autograd guards against them. "
        "In the last row every number but consistent counts false alarms. The gradient checks take any function; "
        "bncheck knows the layer, and computes its tolerance.",
    )


def _cells(counts: Counts, names: Sequence[str] = COLUMNS) -> tuple[str, ...]:
    return tuple(str(counts[name]) for name in names)


def by_bug(counts: Mapping[Plant, Counts]) -> Table:
    """Every bug, those that the gradient checks see least first; what fared alike in a group shares a row."""
    columns = ("slow", "fast", "JAX", "caught", "named")
    rows, alike = [], []
    for group in GROUPS[:-1]:
        inside = sorted(
            (plant for plant in counts if plant.group == group),
            key=lambda plant: [counts[plant][name].share for name in columns],
        )
        for cells, same in groupby(inside, key=lambda plant: _cells(counts[plant], SHOWN)):
            names = [plant.name for plant in same]
            if len(names) < 3:
                rows += [(name, *cells) for name in names]
            else:
                rows.append((f"{group}: {len(names)} bugs", *cells))
                alike.append(f"{group}, {len(names)}: {', '.join(names)}.")
    told = f"Bugs that fared alike share a row. {' '.join(alike)}" if alike else ""
    return Table(("planted bug, % of checks", *SHOWN), tuple(rows), told)


def _end_to_end(outcomes: Sequence[Outcome]) -> Table:
    rows = []
    for kind in written.KINDS:
        bugs = [(alarm, first) for plant, how, alarm, first in outcomes if how == kind and plant.mutant]
        right = [alarm for plant, how, alarm, _ in outcomes if how == kind and not plant.mutant]
        caught, named = (sum(both[k] for both in bugs) for k in range(2))
        rows.append((kind, *map(str, (len(bugs), caught, named)), f"{sum(right)} of {len(right)}"))
    others = sorted({plant.name for plant, _, _, first in outcomes if plant.mutant and not first})
    return Table(
        ("bncheck check FILE.py", "bugs", "caught", "named", "false alarms"),
        tuple(rows),
        "The same from end to end: the bugs of batch and layer norm in a file, each in a class for NumPy or an autograd"
        " function for torch, recognised and asked in the sandbox. The arithmetic is the catalogue's own, as above;"
        " that bugs in another style of code are named too is held by tests/test_diagnose.py. Left out are "
        f"{', '.join(written.NO_BUG)}, which is a layout of its own there, and in torch the effects and the gradients "
        f"of wrong shape. {'Not named: ' + ', '.join(others) + '.' if others else ''}",
    )


def required(counts: Mapping[Plant, Counts], outcomes: Sequence[Outcome]) -> tuple[Requirement, ...]:
    """What is judged: nothing missed, nearly everything named, no false alarm."""
    bugs = total(counts[plant] for plant in counts if plant.mutant)
    right = total(counts[plant] for plant in counts if not plant.mutant)
    written_bugs = [(alarm, first) for plant, _, alarm, first in outcomes if plant.mutant]
    missed = sum(not alarm for alarm, _ in written_bugs)
    alarms = sum(alarm for plant, _, alarm, _ in outcomes if not plant.mutant)
    named = sum(first for _, first in written_bugs)
    return (
        Requirement(f"missed by bncheck, of {bugs['caught'].of}", bugs["caught"].missing, 0),
        Requirement("named first, %", 100 * bugs["named"].times / max(bugs["named"].of, 1), 95, at_least=True),
        Requirement(f"false alarms, of {right['caught'].of}", right["caught"].times + right["named"].times, 0),
        Requirement(f"end to end: missed, of {len(written_bugs)}", missed, 0),
        Requirement("end to end: named first, %", 100 * named / max(len(written_bugs), 1), 95, at_least=True),
        Requirement("end to end: false alarms", alarms, 0),
    )
