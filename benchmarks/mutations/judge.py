"""What a change made of right code: still right, right by another convention, unable to answer, or wrong.

Judged without `check`: the code is called directly, and its answers are held against Arb's enclosures of the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from benchmarks.mutations.calls import Source, limited
from bncheck.case import Array, Case, Enclosure
from bncheck.inputs.recipes import Recipe
from bncheck.oracles import ball
from bncheck.tolerance.verdicts import compare, tolerance

SECONDS = 20.0
"""How long one mutant may take over all that it is asked."""

CLOSE = 1e-9
"""How near running statistics and evaluation, in float64, come to their formulas: a part of the largest value."""

_SIZES = (
    {"N": 7, "C": 4, "D": 5, "L": 3, "H": 2, "W": 3, "G": 2, "K": 3},
    {"N": 4, "C": 6, "D": 8, "L": 2, "H": 3, "W": 2, "G": 3, "K": 2},
    {"N": 12, "C": 3, "D": 3, "L": 4, "H": 2, "W": 4, "G": 1, "K": 4},
)

_ASKED = (
    (0, "float64", 0.5, "ordinary"),
    (1, "float64", 1e-5, "ordinary"),
    (0, "float32", 0.1, "ordinary"),
    (1, "float64", 1e-5, "tiny-variance"),
    (2, "float64", 1e-3, "outliers"),
    (2, "float64", 1e-5, "large-offset"),
    (1, "float64", 1.0, "constant-group"),
    (0, "float32", 1e-3, "tiny-variance"),
    (2, "float32", 1e-5, "ordinary"),
)
"""Sizes, dtype, eps and regime of each case; eps is the code's own where it takes none."""

_ASKED_BY_DEFAULT = (0, 3, 8)
"""Those that are asked once more where the code leaves eps to be handed over or not."""

_WEIGHT = 0.3
"""The weight of a new batch, where it is handed over."""


_LEAST_EPS = 1e-15
"""What is less than this, where y shows it, is the rounding of none at all."""


class Kind(StrEnum):
    """What became of right code."""

    EQUIVALENT = "equivalent"
    CONVENTION = "convention"
    CRASHED = "crashed"
    WRONG = "wrong"


@dataclass(frozen=True)
class Judgement:
    """What became of it, and what showed that, in a few words."""

    kind: Kind
    why: str = ""


class Wrong(Exception):
    """An answer is; the text says which."""


@dataclass(frozen=True)
class Trial:
    """A case with its truth, what rounding may add to it, and the shapes in which the right source answers."""

    source: Source
    case: Case
    by_default: bool
    truth: Mapping[str, Enclosure]
    allowed: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, source: Source, case: Case, *, by_default: bool) -> Trial:
        """The truth, by Arb; the shapes, by asking the source itself."""
        allowed = {name: radius.radius for name, radius in tolerance(source.layer, case).items()}
        answers = source.begin(source.text, case, by_default=by_default).answers()
        shapes = {name: answer.shape for name, answer in answers.items()}
        return cls(source, case, by_default, ball.vjp(source.layer, case), allowed, shapes)

    def answers(self, code: str) -> dict[str, Array]:
        """What some code answers.

        Raises
            Wrong: in other shapes, but for lengths of one, or in another dtype; or it writes to what it was handed.
        """
        session = self.source.begin(code, self.case, by_default=self.by_default)
        answers = session.answers()
        if changed := session.changed():
            raise Wrong(f"writes to {changed[0]}")
        for name, shape in self.shapes.items():
            if _without_ones(answers[name].shape) != _without_ones(shape):
                raise Wrong(f"{name} of shape {answers[name].shape}, expected {shape}")
            if answers[name].dtype != self.case.dtype:
                raise Wrong(f"{name} in {answers[name].dtype}, expected {self.case.dtype}")
        return answers

    def judge(self, answers: Mapping[str, Array]) -> None:
        """Holds answers against the truth.

        Raises
            Wrong: an element lies outside its tolerance.
        """
        shaped = {name: answer.reshape(self.case.shape_of(name)) for name, answer in answers.items()}
        for name, comparison in compare(shaped, self.truth, self.allowed).items():
            if comparison.verdict.failed:
                where = f"{self.case.origin}, {self.case.dtype}, {self.case.layout}"
                raise Wrong(f"{name} is off by {comparison.relative_error:.1e} ({where})")

    def with_eps(self, eps: float) -> Trial:
        """The same, with the truth for another eps."""
        return Trial.of(self.source, replace(self.case, eps=eps), by_default=self.by_default)

    def own_eps(self, y: Array) -> float:
        """The eps that y shows where it is right but for that; NaN where none fits."""
        case, axes = self.case, self.case.layout.reduced_axes
        given = case.given()
        centred = case.x - case.x.mean(axes, keepdims=True) if "beta" in given else case.x
        xhat = (y.reshape(case.x.shape) - given.get("beta", 0)) / given["gamma"]
        eps = (centred / xhat) ** 2 - np.mean(centred**2, axes, keepdims=True)
        return _rounded(np.median(eps))


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


@lru_cache(maxsize=64)
def trials(source: Source, *, by_default: bool) -> tuple[Trial, ...]:
    """What code that should be this source's equal is asked, in one way of calling it."""
    return tuple(Trial.of(source, case, by_default=by_default) for case in _cases(source, by_default))


def _cases(source: Source, by_default: bool) -> Iterator[Case]:
    takes_eps = source.hands_over("eps", by_default=by_default)
    for layout, seed in product(source.layouts, _ASKED_BY_DEFAULT if by_default else range(len(_ASKED))):
        sizes, dtype, eps, regime = _ASKED[seed]
        shape = tuple(_SIZES[sizes][axis] for axis in layout.axes)
        recipe = Recipe(layout, shape, dtype, eps if takes_eps else source.eps, regime, seed=seed)
        yield replace(recipe.build(source.layer), origin=regime)


def judge(source: Source, code: str) -> Judgement:
    """Asks some code all that a source can be asked."""
    try:
        with limited(SECONDS), np.errstate(all="ignore"):
            conventions = [told for by_default in source.modes for told in _conventions(source, code, by_default)]
    except Wrong as wrong:
        return Judgement(Kind.WRONG, str(wrong))
    except (_Crashed, TimeoutError) as silent:
        return Judgement(Kind.CRASHED, str(silent))
    kind = Kind.CONVENTION if conventions else Kind.EQUIVALENT
    return Judgement(kind, "; ".join(dict.fromkeys(conventions)))


class _Crashed(Exception):
    """It never answered; the text says why."""


def _conventions(source: Source, code: str, by_default: bool) -> Iterator[str]:
    """Those in which code that is right differs from its source, in one way of calling it."""
    answered, raised = [], []
    for trial in trials(source, by_default=by_default):
        try:
            answered.append((trial, trial.answers(code)))
        except (Wrong, TimeoutError):
            raise
        except Exception as error:  # a mutant may raise anything
            raised.append(_told(error))
    if raised and not answered and not by_default:
        raise _Crashed(raised[0])
    if raised:
        raise Wrong(raised[0])
    eps = _eps(answered)
    if eps != answered[0][0].case.eps:
        yield f"eps {eps:g}"
    for trial, answers in answered:
        yield from (f"shape of {name}" for name, shape in trial.shapes.items() if answers[name].shape != shape)
    if source.step("running", by_default=by_default):
        running, own = _running(source, code, by_default, eps), _own_running(source, by_default)
        if running["new_weight"] != own["new_weight"] and source.hands_over("new_weight", by_default=by_default):
            raise Wrong(f"a new batch weighs {running['new_weight']}, expected {own['new_weight']}")
        yield from (f"{name} {value}" for name, value in running.items() if value != own[name])


def _told(error: Exception) -> str:
    return f"raises {type(error).__name__}: {error}"


def _eps(answered: Sequence[tuple[Trial, Mapping[str, Array]]]) -> float:
    """The eps with which all answers are right: where none was handed over, the one that they show.

    Raises
        Wrong: there is none.
    """
    first = answered[0][0]
    try:
        for trial, answers in answered:
            trial.judge(answers)
    except Wrong:
        narrow, shown = next((trial, answers) for trial, answers in answered if trial.case.origin == "tiny-variance")
        eps = narrow.own_eps(shown["y"])
        if (
            first.source.hands_over("eps", by_default=first.by_default)
            or not _LEAST_EPS < eps < np.inf
            or eps == first.case.eps
        ):
            raise
        for trial, answers in answered:
            trial.with_eps(eps).judge(answers)
        return eps
    return first.case.eps


@lru_cache(maxsize=64)
def _own_running(source: Source, by_default: bool) -> Mapping[str, Any]:
    """How the source itself keeps its running statistics."""
    eps = trials(source, by_default=by_default)[0].case.eps
    return _running(source, source.text, by_default, eps)


def _running(source: Source, code: str, by_default: bool, eps: float) -> Mapping[str, Any]:
    """How running statistics are kept, from two batches one after the other and evaluation.

    Raises
        Wrong: the new statistics do not follow from the old and the batch, or y in evaluation from them.
    """
    case = trials(source, by_default=by_default)[0].case
    first, second = case.x, case.x[..., ::-1] * 1.5 + 0.5
    axes, count, given = case.layout.reduced_axes, case.count, case.given()

    def normalized(x: Array, mean: Array, variance: Array) -> Array:
        shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
        xhat = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)
        return np.asarray(given["gamma"] * xhat + given["beta"])

    try:
        session = source.begin(code, case, by_default=by_default, new_weight=_WEIGHT)
        session.forward(first)
        old = session.running()
        y = session.forward(second)
        new = session.running()
        evaluated = session.evaluate(first)
        after = session.running()
    except TimeoutError:
        raise
    except Exception as error:
        raise Wrong(f"{_told(error)}, in a second batch or in evaluation") from None
    batch, before = ([x.mean(axes).ravel(), x.var(axes).ravel()] for x in (second, first))
    if any(one.size != batch[0].size for one in (*old, *new, *after)):
        raise Wrong("the running statistics have another shape")
    weight = _rounded(np.median((new[0] - old[0]) / (batch[0] - old[0])))
    if not 0 < weight <= 1 or not _close(new[0], old[0] + weight * (batch[0] - old[0])):
        raise Wrong("the running mean")
    divisors = {"biased": 1.0, "unbiased": count / (count - 1)}
    fitting = [n for n, factor in divisors.items() if _close(new[1], old[1] + weight * (factor * batch[1] - old[1]))]
    if not fitting:
        raise Wrong("the running variance")
    if not _close(y, normalized(second, *batch)):
        raise Wrong("y of a second batch")
    if not _close(evaluated, normalized(first, *new)):
        raise Wrong("y in evaluation")
    if not all(np.array_equal(a, b) for a, b in zip(new, after, strict=True)):
        raise Wrong("evaluation changes the running statistics")
    running: dict[str, Any] = {"new_weight": weight, "running_variance": fitting[0]}
    if weight == 1:
        return running
    factors = {"start_mean": 1.0, "start_variance": divisors[fitting[0]]}
    for (name, factor), value, own in zip(factors.items(), old, before, strict=True):
        running[name] = sorted({round(float(one), 6) for one in (value - weight * factor * own) / (1 - weight)})
    if min(running["start_variance"]) < 0:
        raise Wrong("the running variance starts below zero")
    return running


def _close(got: Array, expected: Array) -> bool:
    """Whether two arrays are the same but for rounding."""
    return got.size == expected.size and bool(
        np.abs(got.reshape(expected.shape) - expected).max() <= CLOSE * np.abs(expected).max()
    )


def _rounded(value: float) -> float:
    """A constant of the code, as it is written there, from what rounding left of it."""
    return float(f"{value:.8g}")
