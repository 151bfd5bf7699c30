"""What a change made of right code: still right, right by another convention, unable to answer, or wrong.

Judged without `check`: the code is called directly, and its answers are held against Arb's enclosures of the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from itertools import product

import numpy as np

from benchmarks.mutations.calls import Crashed, Source, Wrong, limited, raised_text
from benchmarks.mutations.running import Steps
from bncheck.case import Array, Case, Enclosure
from bncheck.inputs.recipes import Recipe
from bncheck.oracles import ball
from bncheck.tolerances.bounds import tolerance
from bncheck.tolerances.verdicts import compare

SECONDS = 20.0
"""How long one mutant may take over all that it is asked."""

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
            ValueError: with a y that is none, as its shape shows. What the code raises passes through.
        """
        session = self.source.begin(code, self.case, by_default=self.by_default)
        answers = session.answers()
        if answers["y"].size != self.case.x.size:
            raise ValueError(f"y of shape {answers['y'].shape}")
        if names := session.overwritten():
            raise Wrong(f"writes to {names[0]}")
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
            unseen = comparison.relative_error < np.finfo(self.case.dtype).eps / 4  # beside the largest element
            if comparison.verdict.failed and not unseen:
                where = f"{self.case.origin}, {self.case.dtype}, {self.case.layout}"
                raise Wrong(f"{name} is off by {comparison.relative_error:.1e} ({where})")

    def with_eps(self, eps: float) -> Trial:
        """The same, with the truth for another eps."""
        return Trial.of(self.source, replace(self.case, eps=eps), by_default=self.by_default)

    def own_eps(self, y: Array) -> float:
        """The eps that y shows where it is right but for that; NaN where none fits."""
        case, axes = self.case, self.case.layout.reduced_axes
        parameters = case.broadcast_parameters()
        shift = parameters.get("beta")  # RMS norm, which does not centre, has none
        centred = case.x if shift is None else case.x - case.x.mean(axes, keepdims=True)
        xhat = (y.reshape(case.x.shape) - (0 if shift is None else shift)) / parameters["gamma"]
        eps = (centred / xhat) ** 2 - np.mean(centred**2, axes, keepdims=True)
        return float(f"{np.median(eps):.8g}")  # as it is written in code


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
            conventions = [words for by_default in source.modes for words in _conventions(source, code, by_default)]
    except Wrong as wrong:
        return Judgement(Kind.WRONG, str(wrong))
    except (Crashed, TimeoutError) as silent:
        return Judgement(Kind.CRASHED, str(silent))
    kind = Kind.CONVENTION if conventions else Kind.EQUIVALENT
    return Judgement(kind, "; ".join(dict.fromkeys(conventions)))


def _conventions(source: Source, code: str, by_default: bool) -> Iterator[str]:
    """Those in which code that is right differs from its source, in one way of calling it."""
    answers = []
    for trial in trials(source, by_default=by_default):
        try:
            answers.append((trial, trial.answers(code)))
        except (Wrong, TimeoutError):
            raise
        except Exception as error:  # a mutant may raise anything
            raise Crashed(raised_text(error)) from error
    first = answers[0][0].case
    eps = _eps(answers)
    if eps != first.eps:
        yield f"eps {eps:g}"
    for trial, answer in answers:
        yield from (f"shape of {name}" for name, shape in trial.shapes.items() if answer[name].shape != shape)
    if source.step("running", by_default=by_default):
        steps = partial(Steps.of, source, case=first, by_default=by_default, new_weight=_WEIGHT)
        rule, own = steps(code=code).rule(eps), steps(code=source.text).rule(first.eps)
        if rule["new_weight"] != own["new_weight"] and source.hands_over("new_weight", by_default=by_default):
            raise Wrong(f"a new batch weighs {rule['new_weight']}, expected {own['new_weight']}")
        yield from (f"{name} {value}" for name, value in rule.items() if value != own[name])


def _eps(answers: Sequence[tuple[Trial, Mapping[str, Array]]]) -> float:
    """The eps with which all answers are right: where none was handed over, the one that they show.

    Raises
        Wrong: there is none.
    """
    first = answers[0][0]
    try:
        for trial, answer in answers:
            trial.judge(answer)
    except Wrong:
        narrow, answer = next((trial, answer) for trial, answer in answers if trial.case.origin == "tiny-variance")
        eps = narrow.own_eps(answer["y"])
        if (
            first.source.hands_over("eps", by_default=first.by_default)
            or not _LEAST_EPS < eps < np.inf
            or eps == first.case.eps
        ):
            raise
        for trial, answer in answers:
            trial.with_eps(eps).judge(answer)
        return eps
    return first.case.eps
