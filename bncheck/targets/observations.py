"""What was noticed about a target: its conventions, and habits that disturb others. None of it is a verdict.

The names, and what they can say:

eps             a number that it keeps to, "as given", "that of the dtype" where it is the machine epsilon, or "unknown"
default_eps     what it takes where it is given none: a number, 0 for none at all; "not finite" where its answer is so
eps_place       "inside the root", "outside the root", "max(var, eps)", "none"
variance        "biased" or "unbiased"
statistics      "per feature" of flat data, "per channel" or "per activation" of images, or "per sample"
new_weight      the weight of the new batch in the running statistics
momentum        "weight of the old" or "weight of the new"
running_variance  "biased" or "unbiased"
evaluation      "running statistics", "batch statistics" or "none"
evaluation_backward  "that of the last training step" where a backward after an evaluation answers for that
repeatable      whether a second identical call answers the same
interleaved     whether another forward between forward and backward leaves the gradients alone
stateless       whether y in training forgets the batches before, on one instance
mutates         the names of the inputs that it writes to
dtype_changed   by dtype, what came back in another one
narrows         the dtypes that it computes in a narrower one, in which it is not asked
misshapen       the layouts that it takes, and in which its gradients have not the sizes of the parameters
differentiable_once  that a framework finds a second derivative, which is not that of the layer
keeps_until     the method of its own until which it keeps what came before
passed_over     what else of the file can be called and was not taken for a target, by reason
surroundings    what it changed for everybody: ``numpy.seterr``, ``numpy.random.seed``, ``numpy.mean``

"unknown" stands wherever the evidence does not separate the possibilities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from bncheck.bugs.diagnose import own_eps
from bncheck.case import Array, Case, Layout
from bncheck.errors import TargetFailed
from bncheck.inputs.sizes import EVEN, shape_of
from bncheck.layers import LAYERS
from bncheck.targets.calls import TRIAL_EPS, Target
from bncheck.targets.conventions import UNKNOWN, Divided, Steps, agree, divided, running

_OTHER_EPS = 1e-3
NOT_FINITE = "not finite"
MACHINE_EPSILON = "that of the dtype"


def observed(target: Target, *, pair: bool) -> Target:
    """The target together with what could be observed about it; a failure of its own leaves out what is left."""
    notes: dict[str, Any] = {"statistics": _statistics(target.layouts)}
    dtype = target.dtypes[0] if target.dtypes else "float64"
    eps = None
    with _as_far_as_it_goes(target):
        place, eps = _eps(target, dtype)
        notes |= place
    if target.plan.takes_eps:
        with _as_far_as_it_goes(target):
            notes |= _default_eps(target, dtype)
    with _as_far_as_it_goes(target):
        notes |= _habits(target, dtype, pair=pair)
    if target.layer == LAYERS["batch_norm"]:
        with _as_far_as_it_goes(target):
            notes |= _running(target, dtype, eps or TRIAL_EPS)
    target = replace(target, eps=eps, observations=notes)
    if eps != _machine_epsilon(dtype):
        return target
    with _as_far_as_it_goes(target):
        others = {name: _eps(target, name)[1] for name in target.dtypes if name != dtype and np.finfo(name).bits > 16}
        if all(own == _machine_epsilon(name) for name, own in others.items()):
            own = {name: _machine_epsilon(name) for name in target.dtypes}
            return replace(target, eps_in=own, observations={**notes, "eps": MACHINE_EPSILON})
    return target


def _machine_epsilon(dtype: str) -> float:
    return float(np.finfo(dtype).eps)


@contextmanager
def _as_far_as_it_goes(target: Target) -> Iterator[None]:
    """An input that a target cannot take leaves an observation out; a target that hangs or dies is not asked again."""
    try:
        yield
    except TargetFailed as failure:
        if failure.reason not in ("raised", "answer"):
            raise


def _statistics(layouts: tuple[Layout, ...]) -> str:
    """What shares its statistics, told by the layout with the most axes."""
    layout = max(layouts, key=lambda one: len(one.axes))
    if "N" not in layout.reduced:
        return "per sample"
    if len(layout.axes) == 2:
        return "per feature"
    return "per activation" if layout.reduced == "N" else "per channel"


def _ones(target: Target, x: Array) -> dict[str, Array]:
    """γ = 1 and β = 0, so that y is x̂."""
    stored = target.layout.parameter_shape(x.shape)
    made = {"gamma": np.ones(stored, x.dtype), "beta": np.zeros(stored, x.dtype)}
    return {name: made[name] for name in target.parameters}


def _eps(target: Target, dtype: str) -> tuple[dict[str, Any], float | None]:
    """Eps, its place and the divisor of the variance; and eps as a number if the target keeps to it."""
    usual = _divided(target, dtype, TRIAL_EPS)
    if usual is None:
        return {}, None if target.plan.takes_eps else _shown_eps(target, dtype)
    notes: dict[str, Any] = {"eps_place": usual.place, "variance": usual.variance}
    if not target.plan.takes_eps:
        own = _shown_eps(target, dtype) if usual.eps is None else usual.eps
        return {"eps": UNKNOWN if own is None else own, **notes}, own or None
    other = _divided(target, dtype, _OTHER_EPS)
    assert other is not None
    if (usual.eps, other.eps) == (TRIAL_EPS, _OTHER_EPS):
        return {"eps": "as given", **notes}, None
    if usual.eps is not None and usual.eps == other.eps:
        return {"eps": usual.eps, **notes}, usual.eps or None
    return {"eps": UNKNOWN, **notes}, None


def _shown_eps(target: Target, dtype: str) -> float | None:
    """The eps that its y shows, whatever else may be wrong with that; None where none fits."""
    given = _drawn(target, dtype, 0)
    kept = {name: given[name] for name in target.parameters}
    case = Case(target.layout, given["x"], given["x"], kept, TRIAL_EPS)
    return own_eps(target.layer, case, target.forward(case.x, kept))


def _default_eps(target: Target, dtype: str) -> dict[str, Any]:
    """The eps of a target that is given none; nothing where it insists on one, or where that cannot be told."""
    taken = _divided(target, dtype, None)
    if taken is None:
        return {}
    if taken.eps is not None:
        return {"default_eps": taken.eps}
    x = _alternating(target, dtype)
    finite = all(np.isfinite(target.forward(half * x, _ones(target, x), eps=None)).all() for half in (0, 2.0**-40))
    return {} if finite else {"default_eps": NOT_FINITE}


def _divided(target: Target, dtype: str, eps: float | None) -> Divided | None:
    """What the target divides by; None in sizes where that cannot be told."""
    pattern = _alternating(target, dtype)
    count, moved = target.layout.count(pattern.shape), pattern != 0
    if not moved.any():
        return None

    def divisor(half: float) -> float:
        x = (half * math.sqrt(count / (count - count % 2)) * pattern).astype(dtype)
        y = target.forward(x, _ones(target, x), eps=eps)
        with np.errstate(all="ignore"):
            ratio = (x[moved] / y[moved]).astype(np.float64)
        return float(ratio[0]) if agree(ratio, np.full_like(ratio, ratio[0])) else math.nan

    found, least = divided(divisor, count), _machine_epsilon(dtype)
    exact = found.eps is not None and math.isclose(found.eps, least, rel_tol=1e-3)
    return replace(found, eps=least) if exact else found


def _alternating(target: Target, dtype: str) -> Array:
    """Input of 1 and −1 by turns within each group, where an odd one out is 0."""
    layout = target.layout
    shape = shape_of(layout, EVEN, target.fixed_sizes())
    count = layout.count(shape)
    inner = np.moveaxis(np.zeros(shape), layout.reduced_axes, range(len(layout.reduced_axes)))
    within = np.arange(count).reshape(inner.shape[: len(layout.reduced_axes)])
    signs = np.where(within % 2 == 0, 1.0, -1.0) * (within < count - count % 2)
    pattern = np.broadcast_to(signs.reshape(signs.shape + (1,) * (len(shape) - signs.ndim)), inner.shape)
    return np.moveaxis(pattern, range(signs.ndim), layout.reduced_axes).astype(dtype)


def _drawn(target: Target, dtype: str, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shape = shape_of(target.layout, EVEN, target.fixed_sizes())
    stored = target.layout.parameter_shape(shape)
    x = rng.normal(size=shape) + np.indices(shape)[list(target.layout.affine_axes)].sum(axis=0)
    drawn = {"x": x, "gamma": rng.uniform(1, 2, stored), "beta": rng.normal(size=stored)}
    drawn |= {"dy": rng.normal(size=shape)} if target.plan.gradients else {}
    kept = ("x", "dy", *target.parameters)
    return {name: value.astype(dtype) for name, value in drawn.items() if name in kept}


def _habits(target: Target, dtype: str, *, pair: bool) -> dict[str, Any]:
    """What it does besides answering."""
    given = _drawn(target, dtype, 0)
    eps = target.eps or TRIAL_EPS
    first, notes = target.ask(given, target.layout, eps)
    target.ask(_drawn(target, dtype, 1), target.layout, eps)
    second, _ = target.ask(given, target.layout, eps)
    habits: dict[str, Any] = {"repeatable": _same(first, second), "mutates": notes["mutated"]}
    if pair:
        between, _ = target.ask({**given, "between": _drawn(target, dtype, 1)["x"]}, target.layout, eps)
        habits["interleaved"] = _same(first, between)
    habits["surroundings"] = sorted({*notes["changed"], *target.sandbox.loaded["changed"]})
    habits["dtype_changed"] = {
        name: changed for name in target.dtypes if (changed := _changed(target, _drawn(target, name, 0), eps))
    }
    return habits


def _same(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    same_bits = first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name], equal_nan=True) for name in first
    )
    return bool(same_bits)


def _changed(target: Target, given: Mapping[str, Array], eps: float) -> dict[str, str]:
    answers, _ = target.ask(given, target.layout, eps)
    return {name: value.dtype.name for name, value in answers.items() if value.dtype != given["x"].dtype}


def _running(target: Target, dtype: str, eps: float) -> dict[str, Any]:
    """The running statistics and the evaluation mode, from three batches of which the last is the first again."""
    first, second = (_drawn(target, dtype, seed)["x"] for seed in (0, 1))
    answers, noted = target.train({"first": first, "second": second, "third": first}, _ones(target, first), eps)
    axes = target.layout.reduced_axes
    y = [{"y": answers[f"{batch} y"]} for batch in ("first", "third")]
    notes: dict[str, Any] = {"stateless": agree(y[0]["y"], y[1]["y"]) or _same(*y)}
    groups = second.size // target.layout.count(second.shape)
    means, variances = (
        Steps(answers[f"first {name}"].ravel(), answers[f"second {name}"].ravel(), statistic(second, axis=axes).ravel())
        if np.size(answers.get(f"second {name}", ())) == np.size(answers.get(f"first {name}", ())) == groups
        else None
        for name, statistic in _STATISTICS.items()
    )
    if means and variances:
        rule = running(means, variances, target.layout.count(second.shape), noted["momentum"])
        notes |= {"new_weight": rule.new_weight, "momentum": rule.momentum, "running_variance": rule.variance}
    notes["evaluation"] = _evaluation(target, first, answers, eps)
    return notes


_STATISTICS: Mapping[str, Any] = {"running_mean": np.mean, "running_var": np.var}


def _evaluation(target: Target, x: Array, answers: Mapping[str, Array], eps: float) -> str:
    """Which statistics its evaluation mode uses."""
    if "evaluated y" not in answers:
        return "none"
    mean, variance = (answers.get(f"third {name}") for name in _STATISTICS)
    hypotheses = {"batch statistics": answers["third y"]}
    groups = [1 if k in target.layout.reduced_axes else n for k, n in enumerate(x.shape)]
    if mean is not None and variance is not None and mean.size == variance.size == math.prod(groups):
        state = {"running_mean": mean.reshape(groups), "running_var": variance.reshape(groups)}
        with np.errstate(all="ignore"):
            hypotheses["running statistics"] = LAYERS["batch_norm_eval"].forward(x, state, eps, sqrt=np.sqrt)["y"]
    fitting = [name for name, y in hypotheses.items() if agree(answers["evaluated y"], y)]
    return fitting[0] if len(fitting) == 1 else UNKNOWN
