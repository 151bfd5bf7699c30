"""The other modes of a target: the step that its running statistics make, and what it answers in evaluation.

The step is held against the definition with the weight and the divisor that the target was observed to use. All of it
is held at the tolerance of single precision: one minus a momentum of 0.9 is not 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.diagnose import UNKNOWN, Diagnosis, diagnose
from bncheck.case import Array, Case, Gradients
from bncheck.errors import TargetFailed
from bncheck.inputs.recipes import completed
from bncheck.inputs.sizes import BATCHES, shape_of
from bncheck.layers import LAYERS, Layer
from bncheck.results import Check, findings
from bncheck.targets.calls import MOMENTUM, TRIAL_EPS, Target
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.verdicts import Comparison, Verdict, compare

EVALUATED = " in evaluation"
"""What is added to the names of what a target answers in evaluation mode."""

_TRAINED, _RUNNING = LAYERS["batch_norm"], LAYERS["batch_norm_running"]
_EVALUATED = LAYERS["batch_norm_eval"]
_STATE = ("running_mean", "running_var")


def modes(target: Target, dtypes: Sequence[str], seed: int) -> tuple[list[tuple[Case, Check]], list[Diagnosis]]:
    """What a target's running statistics and evaluation mode are held against, as checks of one case each.

    A target that keeps no running statistics, or does not show them, gives nothing.
    """
    if target.layer != _TRAINED or target.observations.get("evaluation") is None:
        return [], []
    batches, dy, parameters = _drawn(target, "float32" if "float32" in dtypes else dtypes[0], seed)
    eps = target.eps or TRIAL_EPS
    try:
        arriving = dy if target.has_backward else None
        answers, _ = target.train(batches, parameters, eps, evaluated=batches["second"], dy=arriving)
    except TargetFailed:
        return [], []
    stored = {f"{batch} {name}": answers.get(f"{batch} {name}") for batch in batches for name in _STATE}
    groups = batches["first"].size // target.layout.count(batches["first"].shape)
    if any(value is None or value.size != groups for value in stored.values()):
        return [], []

    def case(batch: str, before: str, layer: Layer, **settings: float) -> Case:
        """One batch in double precision, with the state that an earlier one left."""
        rng = np.random.default_rng(seed)
        drawn = completed(batches[batch].astype(np.float64), layer, target.layout, rng, eps, f"{layer.name}, {batch}")
        state = {name: answers[f"{before} {name}"].reshape(drawn.state[name].shape) for name in drawn.state}
        wide = {name: value.astype(np.float64) for name, value in state.items()}
        learned = {name: value.astype(np.float64) for name, value in parameters.items()}
        arriving = dy.astype(np.float64)
        return replace(drawn, dy=arriving, parameters=learned, state=wide, settings={**drawn.settings, **settings})

    checks: list[tuple[Case, Check]] = []
    bugs: list[Diagnosis] = []
    step = case("second", "first", _RUNNING, **_settings(target))
    shape = target.layout.statistic_shape(step.x.shape)
    new = {f"new_{name}": answers[f"second {name}"].reshape(shape) for name in _STATE}
    observed = target.observations.get("new_weight") is not None
    comparisons, named = _held(_RUNNING, step, new, sure=observed)
    checks.append((step, Check(findings(step, comparisons))))
    bugs += named
    if observed and _inverted(target, batches, parameters, eps):
        bugs.append(_momentum_inverted(target))
    if "evaluated y" in answers:
        evaluation = case("second", "third", _EVALUATED)
        got = _evaluated(answers, evaluation, case("third", "second", _TRAINED))
        comparisons, named = _held(_EVALUATED, evaluation, got)
        of_mode = {name + EVALUATED: comparison for name, comparison in comparisons.items()}
        checks.append((evaluation, Check(findings(evaluation, of_mode))))
        bugs += [replace(bug, gradient=bug.gradient + EVALUATED) for bug in named]
    return checks, bugs


def _evaluated(answers: Mapping[str, Array], case: Case, latest: Case) -> dict[str, Array]:
    """What was answered in evaluation mode; gradients only where they are of this call.

    A backward that knows of no evaluation mode answers for the batch that it was trained on last.
    """
    shapes = {name: case.shape_of(name) for name in ("y", *case.gradient_names)}
    named = {name: answers[f"evaluated {name}"] for name in shapes if f"evaluated {name}" in answers}
    got = {name: value.reshape(shapes[name]) for name, value in named.items() if value.size == math.prod(shapes[name])}
    gradients = {name: value for name, value in got.items() if name != "y"}
    trained = compare(gradients, computed_truth(_TRAINED, latest), _radii(_TRAINED, latest))
    if all(not comparison.verdict.failed for comparison in trained.values()):
        return {"y": got["y"]}
    return got


def _drawn(target: Target, dtype: str, seed: int) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    """Three batches, of which the last is the first again, a dy, and parameters."""
    rng = np.random.default_rng(seed)
    shape = shape_of(target.layout, BATCHES, target.fixed_sizes())
    first, second = (rng.normal(size=shape) + np.indices(shape)[target.layout.affine_axes[0]] for _ in range(2))
    stored = target.layout.parameter_shape(shape)
    drawn = {"gamma": rng.uniform(1, 2, size=stored), "beta": rng.normal(size=stored)}
    batches = {"first": first, "second": second, "third": first}
    return (
        {name: value.astype(dtype) for name, value in batches.items()},
        rng.normal(size=shape).astype(dtype),
        {name: value.astype(dtype) for name, value in drawn.items() if name in target.parameters},
    )


def _settings(target: Target) -> dict[str, float]:
    """The weight of the new batch and the divisor that were observed, or those of the paper's usual form."""
    weight = target.observations.get("new_weight")
    unbiased = target.observations.get("running_variance") == "unbiased"
    return {"new_weight": 1 - MOMENTUM if weight is None else weight, "ddof": int(unbiased)}


def _held(
    layer: Layer, case: Case, got: Gradients, *, sure: bool = True
) -> tuple[dict[str, Comparison], tuple[Diagnosis, ...]]:
    """Answers held against a layer in some mode; unless `sure`, only a bug with a name counts against them."""
    narrow = case.astype(np.float32)
    comparisons = compare(got, computed_truth(layer, case), _radii(layer, case))
    if not any(comparison.verdict.failed for comparison in comparisons.values()):
        return comparisons, ()

    def answered(asked: Case) -> Gradients:
        """What is known of the target: its answers to this one case."""
        if asked.eps != narrow.eps or not all(np.array_equal(a, b) for a, b in _arrays(asked, narrow)):
            raise LookupError
        return {name: value.astype(np.float32) for name, value in got.items()}

    bugs = diagnose(layer, answered, [narrow])
    named = tuple(bug for bug in bugs if bug.id != UNKNOWN)
    if named or sure:
        return comparisons, named or bugs
    return {name: replace(c, verdict=Verdict.INCONCLUSIVE) for name, c in comparisons.items()}, ()


def _radii(layer: Layer, case: Case) -> dict[str, Array]:
    """What single precision allows."""
    return {name: radius.radius for name, radius in tolerance(layer, case.astype(np.float32)).items()}


def _arrays(first: Case, second: Case) -> list[tuple[Any, Any]]:
    others = [(first.parameters[name], second.parameters[name]) for name in first.parameters]
    return [(first.x, second.x), (first.dy, second.dy), *others]


def _inverted(target: Target, batches: Mapping[str, Array], parameters: Mapping[str, Array], eps: float) -> bool:
    """Whether the new batch outweighs all before it although nobody asked for that."""
    weight, sense = (target.observations.get(name) for name in ("new_weight", "momentum"))
    if weight is None or weight <= 0.5 or sense != "weight of the new":
        return False
    answers, _ = target.train(batches, parameters, eps, momentum=0.5)
    steps = [answers[f"{batch} running_mean"].ravel() for batch in ("first", "second")]
    mean = batches["second"].mean(axis=target.layout.reduced_axes).ravel()
    own = steps[0] + weight * (mean - steps[0])
    return bool(np.allclose(steps[1], own, rtol=1e-4)) and not math.isclose(weight, 0.5)


def _momentum_inverted(target: Target) -> Diagnosis:
    bug = BUGS["momentum-inverted"]
    computed, right = bug.formulas(_RUNNING)
    words = f"{bug.words}: the new batch weighs {target.observations['new_weight']:g}"
    return Diagnosis(bug.id, "new_running_mean", 0.0, words, computed, right, bug.fix)
