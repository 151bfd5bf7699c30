"""Whether a diagnosis is right: the layer with just its bugs answers what the code does, on cases new to both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from benchmarks.mutations.calls import Source, limited
from benchmarks.mutations.judge import SECONDS
from benchmarks.mutations.running import Steps
from bncheck.bugs.diagnose import Diagnosis, reproduction
from bncheck.case import Array, Case, Layout
from bncheck.examination.running_statistics import EVALUATED
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.results import TargetReport

NEAR = 1e-6
"""How near a reproduced answer comes to the code's own, as a part of the answer's largest value."""

_FRESH = (
    ({"N": 9, "C": 5, "D": 7, "L": 4, "H": 3, "W": 2, "G": 2, "K": 2}, 0.2, "ordinary"),
    ({"N": 5, "C": 7, "D": 4, "L": 5, "H": 2, "W": 4, "G": 3, "K": 3}, 0.02, "outliers"),
    ({"N": 11, "C": 2, "D": 9, "L": 2, "H": 4, "W": 3, "G": 1, "K": 5}, 2.0, "ordinary"),
)
"""Sizes, eps and regime of cases that no diagnosis is made on; all in float64."""

Answers = tuple[Mapping[str, Array], Mapping[str, Array], Mapping[str, Array]]
"""What the code answers, what is to reproduce it, and what is right."""


def reproduced(source: Source, code: str, report: TargetReport) -> bool:
    """Whether it is so in training; and, where nothing was diagnosed there, in the other modes.

    What a bug of training does to running statistics, and to evaluation, follows from it.
    """
    stepping = [bug for bug in report.diagnosis if bug.gradient.startswith("new_")]
    evaluating = [bug for bug in report.diagnosis if bug.gradient.endswith(EVALUATED)]
    training = [bug for bug in report.diagnosis if bug not in stepping and bug not in evaluating]
    try:
        with limited(SECONDS), np.errstate(all="ignore"):
            if not all(_alike(*one) for one in _in_training(source, code, training)):
                return False
            others = () if training else _in_other_modes(source, code, report, stepping, evaluating)
            return all(_alike(*one) for one in others)
    except Exception:  # what raises, or has no formula, reproduces nothing
        return False


def _in_training(source: Source, code: str, bugs: Sequence[Diagnosis]) -> Iterator[Answers]:
    layouts = tuple(dict.fromkeys(bug.program.layout for bug in bugs if bug.program))  # many take more than their own
    for case in fresh(source, layouts or source.layouts):
        yield source.begin(code, case).answers(), _answer(source.layer, bugs, case), _answer(source.layer, (), case)


def _in_other_modes(
    source: Source, code: str, report: TargetReport, stepping: Sequence[Diagnosis], evaluating: Sequence[Diagnosis]
) -> Iterator[Answers]:
    if not source.step("running", by_default=False):
        return
    case = fresh(source, source.layouts)[0]
    steps = Steps.of(source, code, case)

    def state(statistics: Sequence[Array]) -> dict[str, Array]:
        shape = case.layout.parameter_shape(case.x.shape)
        return {f"running_{n}": value.reshape(shape) for n, value in zip(("mean", "var"), statistics, strict=True)}

    rule = report.observations
    weight = 0.1 if rule.get("new_weight") is None else rule["new_weight"]
    settings = {"new_weight": weight, "ddof": int(rule.get("running_variance") == "unbiased")}
    step = Case(case.layout, steps.second, case.dy, case.parameters, case.eps, "", state(steps.old), settings)
    layer = LAYERS["batch_norm_running"]
    new = {f"new_{name}": value for name, value in state(steps.new).items()}
    yield new, _answer(layer, stepping, step), _answer(layer, (), step)
    evaluation = Case(case.layout, case.x, case.dy, case.parameters, case.eps, "", state(steps.new))
    layer = LAYERS["batch_norm_eval"]
    yield {"y": steps.evaluated}, _answer(layer, evaluating, evaluation), _answer(layer, (), evaluation)


def _answer(layer: Layer, bugs: Sequence[Diagnosis], case: Case) -> Mapping[str, Array]:
    """What the layer with these bugs answers.

    Raises
        LookupError: one of them has no formula.
    """
    vjp = reproduction(layer, bugs)
    if vjp is None:
        raise LookupError
    return vjp(case)


@lru_cache(maxsize=64)
def fresh(source: Source, layouts: tuple[Layout, ...]) -> tuple[Case, ...]:
    """Cases that no diagnosis was made on, in each of these layouts."""
    takes_eps = source.hands_over("eps", by_default=False)

    def cases() -> Iterator[Case]:
        for layout, (seed, (sizes, eps, regime)) in product(layouts, enumerate(_FRESH, start=1000)):
            shape = tuple(sizes[axis] for axis in layout.axes)
            recipe = Recipe(layout, shape, eps=eps if takes_eps else source.eps, regime=regime, seed=seed)
            yield recipe.build(source.layer)

    return tuple(cases())


def _alike(answers: Mapping[str, Array], expected: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    """Whether all answers are the same but for rounding, NaN in the same places, and one number said many times."""

    def same(got: Array, value: Array, usual: Array) -> bool:
        scale = max(float(np.nanmax(np.abs(one), initial=0.0)) for one in (value, usual))
        got = got.reshape(value.shape) if got.size == value.size else got
        return bool(np.allclose(got, value, rtol=0, atol=NEAR * scale, equal_nan=True))

    return all(same(got, np.asarray(expected[name]), np.asarray(right[name])) for name, got in answers.items())
