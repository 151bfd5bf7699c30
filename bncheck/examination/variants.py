"""A target as it is had beside its usual way: without some of its parameters, and differentiated once more."""

from __future__ import annotations

from collections.abc import Iterator

from bncheck.case import Case
from bncheck.errors import TargetFailed
from bncheck.examination.one_case import check
from bncheck.examination.probing import Found
from bncheck.examination.subjects import fitting
from bncheck.inputs.recipes import Recipe
from bncheck.inputs.sizes import FEW
from bncheck.layers import LAYERS
from bncheck.results import Check, findings
from bncheck.tangents import tangent_of
from bncheck.targets.calls import TRIAL_EPS, Target
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.verdicts import compare

_AGAIN = " in double backward"
"""What is added to the names of what a second backward answers."""


def variants(target: Target, dtype: str, seed: int) -> Found:
    """What is amiss with a target in the other ways in which it can be had."""
    found = Found()
    for one in (_twice(target, dtype, seed), *_without_parameters(target, dtype, seed)):
        found = found.and_also(one)
        if found.failed:
            break
    return found


def _without_parameters(target: Target, dtype: str, seed: int) -> Iterator[Found]:
    """A target with ``affine=False``, and its like."""
    try:
        several = list(target.without_parameters())
    except TargetFailed:  # it answered before: this way of asking is nothing that it knows
        return
    for words, variant in several:
        case = _case(variant, dtype, seed)
        try:
            held = check(variant.vjp, case, layer=target.layer)
        except TargetFailed as failure:
            yield Found(crash=f"{failure} It was asked with {words}.")
            continue
        wrong = held.verdict.failed
        yield Found(((case, held),) if wrong else (), wrong=f"Only with {words}." if wrong else "", asked=(words,))


def _twice(target: Target, dtype: str, seed: int) -> Found:
    """The gradient of a target's gradient, held against the gradient of the layer's directional derivative.

    A framework finds one, right or not, of whatever backward calls its operations; only what its author wrote is a
    promise.
    """
    layer = LAYERS.get(f"{target.layer.name}_jvp")
    if layer is None or target.plan.family != "torch" or not target.has_backward:
        return Found()
    eps = target.eps or (0.5 if target.plan.takes_eps else TRIAL_EPS)
    case = Recipe(target.layout, fitting(target, target.layout, FEW), dtype, eps, seed=seed).build(layer)
    along = {name: case.parameters[tangent_of(name)] for name in ("x", *target.parameters)}
    if set(layer.primal.parameters if layer.primal else ()) != set(target.parameters):
        return Found()
    plain = {name: case.parameters.get(name, along[name]) for name in target.parameters}
    try:
        offered, got = target.twice(Case(case.layout, case.x, case.dy, plain, case.eps, case.origin), along)
    except TargetFailed:
        return Found()
    if not offered:
        return Found()
    answers = {"y": got["dy"], **{f"d{name}": got[name] for name in ("x", *case.parameters) if name in got}}
    allowed = {name: radius.radius for name, radius in tolerance(layer, case).items()}
    comparisons = compare(answers, computed_truth(layer, case), {name: allowed[name] for name in answers})
    if not any(one.verdict.failed for one in comparisons.values()):
        return Found(asked=(_AGAIN.strip(),))
    if offered == "by its author":
        named = {f"{'ddy' if name == 'y' else name}{_AGAIN}": one for name, one in comparisons.items()}
        return Found(
            ((case, Check(findings(case, named))),), wrong="Only in a double backward.", asked=(_AGAIN.strip(),)
        )
    return Found(habits={"differentiable_once": True})


def _case(target: Target, dtype: str, seed: int) -> Case:
    return target.adapted(
        Recipe(target.layout, fitting(target, target.layout, FEW), dtype, seed=seed).build(target.layer)
    )
