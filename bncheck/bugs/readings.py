"""Readings: which edits of a layer's programs give the answers that somebody's code gave.

An answer is matched by value, within the tolerance that is computed for the edited program itself. No name of a
variable and no style of code enters: only what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

import numpy as np

from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import ONE, Expression, Name, Number, Room, exchanged, number, over, plus, times
from bncheck.bugs.programs import COUNT, HOLE, Bench, Program, size
from bncheck.case import Array, Case, Gradients
from bncheck.formats import Format, is_float
from bncheck.layers import Layer
from bncheck.tolerances.bounds import radii
from bncheck.tolerances.intervals import Radius

SLACK = 4.0
"""How many tolerances an answer may be from a program: the same formula is added up in other orders."""

_NEAR = {8: 1e-7, 4: 2e-3, 2: 5e-2}
"""By the bytes of a number: how near, of the largest element, an answer must be for the tolerance to be computed."""


class Trial:
    """One case, and what somebody's code answered.

    `glance` is how near, of the largest element, an answer must be to a program's for more to be asked.
    """

    def __init__(self, layer: Layer, case: Case, answer: Gradients, *, glance: float = 0.0) -> None:
        self.layer, self.case = layer, case
        floats = {name: np.asarray(value) for name, value in answer.items() if is_float(np.asarray(value).dtype)}
        self.shapes = {name: value.shape for name, value in floats.items()}
        self.answer = {name: _compact(value, case, name) for name, value in floats.items()}
        dtypes = (case.dtype, *(value.dtype for value in self.answer.values()))
        self.dtype = min(dtypes, key=lambda dtype: dtype.itemsize)
        self.format = Format.of(self.dtype)
        self.glance = glance or _NEAR[self.dtype.itemsize]
        self._exact = case.astype(np.float64)
        self._benches: dict[int, tuple[Program, Bench]] = {}
        self._intervals: dict[int, tuple[Program, Bench]] = {}

    @cached_property
    def right(self) -> dict[str, Radius]:
        """The layer's own answer."""
        return radii(self.layer, self.case, self.format)

    @cached_property
    def sizes(self) -> dict[str, float]:
        """The largest element of each answer, or of the right one: beside that, an answer may be next to nothing."""
        right = {name: np.nanmax(np.abs(radius.midpoint), initial=0.0) for name, radius in self.right.items()}
        return {n: max(np.abs(value).max(initial=0.0), right.get(n, 0.0)) for n, value in self.answer.items()}

    @cached_property
    def failing(self) -> tuple[str, ...]:
        """The returned names that are not within the tolerance of the layer's own answer."""
        return tuple(n for n, value in self.answer.items() if n in self.right and residual(value, self.right[n]) > 1)

    @cached_property
    def telling(self) -> tuple[str, ...]:
        """The returned names that tell anything in this precision; what is nowhere finite never does."""
        known = (name for name, value in self.answer.items() if name in self.right and np.isfinite(value).any())
        return tuple(n for n in known if n in self.failing or conclusive(self.answer[n], self.right[n]))

    def bench(self, base: Program) -> Bench:
        """Where edits of a program are run, in float64."""
        if id(base) not in self._benches:
            self._benches[id(base)] = (base, Bench(base, self._exact))
        return self._benches[id(base)][1]

    def near(self, base: Program, program: Program, names: Sequence[str]) -> list[str]:
        """The names for which a program's value is near the answer, at a glance."""
        values = self.bench(base).answers(program, names)
        return [name for name in names if self._is_near(name, _compact(values[name], self.case, name))]

    def _is_near(self, name: str, value: Array) -> bool:
        answer, size = self.answer[name], self.sizes[name]
        if value.shape != answer.shape:
            return False
        with np.errstate(all="ignore"):
            distance = np.abs(value - answer)
            if np.isnan(
                size
            ):  # the answer has elements that are no numbers: so must the value have, there and only there
                size = np.nanmax(np.abs(answer), initial=0.0)
                distance = np.where(np.isnan(value) & np.isnan(answer), 0.0, distance)
        return bool(distance.max(initial=0) <= self.glance * size)  # NaN is no match

    def residual(self, base: Program, program: Program, name: str) -> float:
        """How far the answer is from a program's, in units of the tolerance around that."""
        if id(base) not in self._intervals:
            lifted = partial(Radius.exact, fmt=self.format)
            self._intervals[id(base)] = (base, Bench(base, self.case, lifted))
        interval = self._intervals[id(base)][1].answers(program, (name,))[name]
        if not isinstance(interval, Radius):
            interval = Radius.exact(interval, self.format)
        interval = _compact(interval, self.case, name)
        if not conclusive(self.answer[name], interval, self.sizes[name]):
            return math.inf
        return residual(self.answer[name], interval)

    def off(self, base: Program, program: Program, name: str) -> Array:
        """The answer less a program's, in units of its largest element."""
        value = _compact(self.bench(base).answers(program, (name,))[name], self.case, name)
        answer = self.answer[name].astype(np.float64)
        scale = np.abs(answer).max(where=np.isfinite(answer), initial=0.0) or 1.0
        difference = (answer - value if value.shape == answer.shape else np.full(answer.shape, np.inf)) / scale
        return np.asarray(np.where(np.isnan(answer) & np.isnan(difference), 0.0, difference))


def _compact(value: Any, case: Case, name: str) -> Any:
    """An array of a wrong shape in a row, by size, whatever its axes are; one of the right shape as it is."""
    expected = case.shape_of(name) if name in case.gradient_names or name == "y" else None
    if expected is None or value.shape == expected:
        return value
    return value.sorted() if isinstance(value, Radius) else np.sort(value, axis=None)


def residual(got: Array, there: Radius) -> float:
    """The largest distance in units of its radius; NaN where every radius is infinite, so that nothing is known."""
    if got.shape != there.shape:
        return math.inf
    neither = np.isnan(got) & np.isnan(there.midpoint)
    known = np.isfinite(there.radius) & ~neither
    if not known.any():
        return math.nan
    with np.errstate(all="ignore"):
        distance = np.abs(got - there.midpoint)[known]
        fraction = np.where(distance == 0, 0.0, distance / there.radius[known])
    return float(np.where(np.isnan(fraction), math.inf, fraction).max())


def conclusive(got: Array, there: Radius, size: float = 0.0) -> bool:
    """Whether agreement with an answer says anything: where its tolerance is as wide as the answer it does not.

    It does where the right answer's `size` is larger: next to nothing is not that.
    """
    known = np.isfinite(there.radius) & np.isfinite(there.midpoint)
    size = max(np.abs(got).max(where=np.isfinite(got), initial=0.0), size if math.isfinite(size) else 0.0)
    asked = (
        known.size - int((np.isnan(there.midpoint) & np.isnan(got)).sum()) if got.shape == there.shape else known.size
    )
    return bool(2 * known.sum() > asked and (np.median(there.radius[known]) < size / 2 or not size))


@dataclass(frozen=True, eq=False)
class Reading:
    """A program that gives some of the answers: what it was before, the edits in it, and the names that it explains."""

    base: Program
    program: Program
    edits: tuple[tuple[str, Edit], ...]
    explains: frozenset[str]
    residual: float

    @property
    def known(self) -> bool:
        """Whether all its edits are in the catalogue."""
        return all(edit.kind == "catalogue" for _, edit in self.edits)


def near(trials: Sequence[Trial], base: Program, program: Program, names: Iterable[str]) -> set[str]:
    """The names that a program explains on every trial, at a glance; those on which a trial says anything."""
    left = {name for name in names if any(name in trial.telling for trial in trials)}
    for trial in trials:
        asked = [name for name in left if name in trial.telling]
        left -= set(asked) - set(trial.near(base, program, asked) if asked else ())
        if not left:
            break
    return left


def match(
    trials: Sequence[Trial], base: Program, program: Program, names: Iterable[str], *, kept: Iterable[str] = ()
) -> tuple[frozenset[str], float]:
    """The names that a program explains on every trial, and the largest residual; none where it spoils a kept one."""
    left = near(trials, base, program, names)
    distances = {n: max(t.residual(base, program, n) for t in trials if n in t.telling) for n in left}
    explained = frozenset(name for name, distance in distances.items() if distance <= SLACK)
    for trial in trials if explained else ():
        asked = [name for name in kept if name in trial.telling]
        if asked and len(trial.near(base, program, asked)) < len(asked):
            return frozenset(), math.inf
    return explained, max((distances[name] for name in explained), default=0.0)


def fitted(trials: Sequence[Trial], base: Program, edit: Edit, name: str, *, linear: bool) -> Edit | None:
    """An edit with a hole, filled with the number or the size for which it gives the answer, if one does."""
    values = []
    for trial in trials:
        if name in trial.telling:
            value = (_solved if linear else _searched)(trial, base, edit.program, name)
            if value is None:
                return None
            values.append((value, trial.case))
    filling = _recognised(values) if values else None
    if filling is None:
        return None
    return replace(edit, program=filled(edit.program, filling), now=exchanged(edit.now, {HOLE: filling}))


def filled(program: Program, filling: Expression) -> Program:
    """A program with something in its hole."""
    parts = (program.forward, program.saved, program.backward)
    forward, saved, backward = ({n: exchanged(e, {HOLE: filling}) for n, e in steps.items()} for steps in parts)
    same = program.saved is program.forward
    return replace(program, forward=forward, saved=forward if same else saved, backward=backward)


def _at(trial: Trial, base: Program, program: Program, name: str, value: float) -> Array:
    return trial.off(base, filled(program, Number(Fraction(value))), name).ravel()


def _solved(trial: Trial, base: Program, program: Program, name: str) -> float | None:
    """The number of which the answer is a linear function."""
    with np.errstate(all="ignore"):
        zero, one = (_at(trial, base, program, name, value) for value in (0.0, 1.0))
        slope = one - zero
        square = float(slope @ slope)
        if not (math.isfinite(square) and square > 0):
            return None
        value = -float(slope @ zero) / square
        left = float(np.abs(zero + value * slope).max())
    return value if left <= _NEAR[trial.dtype.itemsize] else None


def _searched(trial: Trial, base: Program, program: Program, name: str) -> float | None:
    """The number at which the answer is least away, on either side of zero."""
    sides = (searched(trial, base, program, name, sign) for sign in (1, -1))
    return next((value for value in sides if value is not None), None)


def searched(trial: Trial, base: Program, program: Program, name: str, sign: int = 1) -> float | None:
    """The number of one sign in a program's hole that gives the answer: the best of a coarse scale, then Newton."""

    def at(exponent: float) -> Array:
        return _at(trial, base, program, name, sign * math.exp(exponent))

    scale = np.linspace(-30, 15, 31)
    with np.errstate(all="ignore"):
        lengths = [float(np.linalg.norm(at(t))) for t in scale]
        exponent = float(scale[int(np.argmin(np.nan_to_num(lengths, nan=np.inf)))])
        for _ in range(20):
            slope = (at(exponent + 1e-6) - at(exponent - 1e-6)) / 2e-6
            step = float(slope @ at(exponent)) / (float(slope @ slope) or 1.0)
            if not math.isfinite(step):
                return None
            exponent -= min(max(step, -0.5), 0.5)
            if abs(step) < 1e-14:
                break
        left = float(np.abs(at(exponent)).max())
    return sign * math.exp(exponent) if left <= _NEAR[trial.dtype.itemsize] else None


_FRACTIONS = 12  # the largest denominator of a number that is written as a fraction


def _recognised(values: Sequence[tuple[float, Case]]) -> Expression | None:
    """What number, or size or ε times a number, these values are: a size only where they differ as it does."""
    layout = values[0][1].layout
    lengths = [COUNT, size(layout.kept), *map(size, layout.axes)]
    less, more = plus(COUNT, number(-1)), plus(COUNT, number(1))
    single = [*lengths, less, more, over(COUNT, less), over(less, COUNT), Name("eps")]
    single += [over(ONE, scale) for scale in single]
    pairs = [(a, b) for a in lengths for b in lengths]
    several = [make(a, b) for make in (times, over) for a, b in pairs]
    several += [over(times(COUNT, a), b) for a, b in pairs] + [over(COUNT, a, b) for a, b in pairs]
    several += [times(a, b) for a in lengths for b in (less, more)]
    first = values[0][0]
    if all(math.isclose(value, first, rel_tol=1e-5, abs_tol=1e-9) for value, _ in values):
        return Number(_simple(first) or Fraction(first).limit_denominator(10**9))
    for scale in (*single, *several):
        ratios = [value / measured(scale, case) for value, case in values]
        ratio = _simple(ratios[0]) if scale in single else Fraction(1 if ratios[0] > 0 else -1)
        if ratio and all(math.isclose(other, ratio, rel_tol=1e-5, abs_tol=1e-9) for other in ratios):
            return times(Number(ratio), scale)
    added = round(first - measured(COUNT, values[0][1]))
    if all(math.isclose(value - measured(COUNT, case), added, abs_tol=1e-6) for value, case in values):
        return plus(COUNT, number(added))
    return None


def _simple(value: float) -> Fraction | None:
    """The fraction with a small denominator that a number is."""
    simple = Fraction(value).limit_denominator(_FRACTIONS)
    return simple if math.isclose(simple, value, rel_tol=1e-6, abs_tol=1e-9) else None


def measured(scale: Expression, case: Case) -> float:
    """What a number, a size or ε comes to on a case."""
    sizes = dict(zip((f"#{axis}" for axis in case.layout.axes), case.x.shape, strict=True))
    return float(scale.value(Room({**sizes, COUNT.label: case.count, "eps": case.eps}, case.layout.axes))) or math.nan
