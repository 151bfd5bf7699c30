"""Rounding is told from a wrong formula, in the precision in which it shows, both ways."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import random_case

from bncheck import Verdict, check
from bncheck.case import Array, Case, Gradients, Vjp
from bncheck.layers import LAYERS
from bncheck.oracles import symbolic
from bncheck.tolerances.verdicts import wrong_or_unstable

LAYER = LAYERS["batch_norm"]


def right(case: Case) -> Gradients:
    return symbolic.vjp(LAYER, case)


def closed(case: Case, variance: Callable[[Array, Any], Array], total: Callable[[Array, Any], Array]) -> Gradients:
    """The closed form with a variance and sums of somebody's own."""
    axes = case.layout.reduced_axes
    x, dy, gamma = case.x, case.dy, case.broadcast_parameters()["gamma"]
    with np.errstate(all="ignore"):
        inv_std = 1 / np.sqrt(variance(x, axes) + x.dtype.type(case.eps))
        xhat = (x - x.mean(axis=axes, keepdims=True)) * inv_std
        dxhat = dy * gamma
        means = total(dxhat, axes) / case.count, total(dxhat * xhat, axes) / case.count
        return {"dx": (inv_std * (dxhat - means[0] - xhat * means[1])).astype(x.dtype)}


def usual(a: Array, axes: Any) -> Array:
    return np.asarray(a.sum(axis=axes, keepdims=True))


def two_pass(x: Array, axes: Any) -> Array:
    return np.asarray(x.var(axis=axes, keepdims=True))


def one_pass(x: Array, axes: Any) -> Array:
    return np.asarray((x * x).mean(axis=axes, keepdims=True) - x.mean(axis=axes, keepdims=True) ** 2)


def clipped(x: Array, axes: Any) -> Array:
    return np.maximum(one_pass(x, axes), 0)


def one_by_one(a: Array, axes: Any) -> Array:
    """A sum that rounds after each addition."""
    rows = np.moveaxis(a, axes, range(len(axes))).reshape(-1, *[n for k, n in enumerate(a.shape) if k not in axes])
    running = np.zeros_like(rows[0])
    for row in rows:
        running = (running + row).astype(a.dtype)
    return np.expand_dims(running, axes)


UNSTABLE: dict[str, tuple[Vjp, tuple[tuple[str, float], ...]]] = {
    "one pass": (
        lambda case: closed(case, one_pass, usual),
        (("float64", 1e5), ("float64", 1e6), ("float32", 300.0), ("float32", 1000.0), ("float16", 12.0)),
    ),
    "one pass, clipped": (
        lambda case: closed(case, clipped, usual),
        (("float64", 1e5), ("float64", 1e7), ("float32", 300.0), ("float32", 3000.0), ("float16", 12.0)),
    ),
    "one pass, summed one by one": (
        lambda case: closed(case, one_pass, one_by_one),
        (("float64", 1e5), ("float32", 1000.0), ("float16", 12.0)),
    ),
}
CASES = [(name, dtype, offset) for name, (_, asked) in UNSTABLE.items() for dtype, offset in asked]


@pytest.mark.parametrize("shape", [(32, 4), (64, 3), (4, 3, 8, 8)])
@pytest.mark.parametrize(("name", "dtype", "offset"), CASES)
def test_a_right_formula_that_cancels_is_unstable(name: str, dtype: str, offset: float, shape: tuple[int, ...]) -> None:
    case = random_case(shape, dtype, offset=offset)
    once = ("dx",) if dtype == "float16" else ()  # float16's own tolerance would allow it
    assert check(UNSTABLE[name][0], case, rounds_once=once).gradients["dx"].conforms is Verdict.UNSTABLE


def test_a_sum_in_half_precision_is_unstable() -> None:
    """Held at what rounds once; it needs so many terms that ones are lost on the way."""
    case = random_case((4, 3, 32, 32), "float16")
    large = replace(case, dy=(np.abs(case.dy) + 1).astype(np.float16))

    def naive(case: Case) -> Gradients:
        return {"dbeta": one_by_one(case.dy, case.layout.reduced_axes).ravel()}

    found = check(naive, large, rounds_once=("dbeta",))
    assert found.gradients["dbeta"].conforms is Verdict.UNSTABLE


def only_in(dtype: str, wrong: Callable[[Case], Gradients]) -> Vjp:
    return lambda case: wrong(case) if case.dtype == np.dtype(dtype) else right(case)


def unbiased(case: Case) -> Gradients:
    return closed(case, lambda x, axes: x.var(axis=axes, keepdims=True, ddof=1), usual)


def scaled(factor: float) -> Callable[[Case], Gradients]:
    return lambda case: {"dx": (right(case)["dx"] * factor).astype(case.dtype)}


def other_eps(eps: float) -> Callable[[Case], Gradients]:
    return lambda case: {"dx": right(replace(case, eps=eps))["dx"]}


def uncentred(case: Case) -> Gradients:
    dgamma = right(case)["dgamma"] + (case.dy * case.x.mean(0)).sum(0) / np.sqrt(case.x.var(0) + case.eps)
    return {"dgamma": dgamma.astype(case.dtype)}


WRONG: dict[str, tuple[str, Vjp, float]] = {
    "m - 1 in float32": ("float32", only_in("float32", unbiased), 1e-5),
    "m - 1 in float64": ("float64", only_in("float64", unbiased), 1e-5),
    "m - 1 in float16": ("float16", only_in("float16", unbiased), 1e-3),
    "1e-12 in float64": ("float64", only_in("float64", scaled(1 + 1e-12)), 1e-5),
    "1e-3 in float32": ("float32", only_in("float32", scaled(1 + 1e-3)), 1e-5),
    "1e-12 in all": ("float64", scaled(1 + 1e-12), 1e-5),
    "another eps in float32": ("float32", only_in("float32", other_eps(1e-3)), 1e-5),
    "another eps in float64": ("float64", only_in("float64", other_eps(1e-12)), 1e-5),
    "dgamma from x in float32": ("float32", only_in("float32", uncentred), 1e-5),
    "nothing in float32": ("float32", only_in("float32", scaled(float("nan"))), 1e-5),
}


@pytest.mark.parametrize("offset", [0.0, 3.0, 100.0])
@pytest.mark.parametrize("name", WRONG)
def test_a_formula_that_is_wrong_in_one_precision_is_wrong(name: str, offset: float) -> None:
    dtype, vjp, eps = WRONG[name]
    case = random_case((8, 4), dtype, offset=offset if dtype != "float16" else offset / 10, eps=eps)
    for array, finding in check(vjp, case).gradients.items():
        if finding.conforms.failed:
            assert finding.conforms is Verdict.WRONG, array
    if offset < 10:
        assert check(vjp, case).verdict.failed


def test_who_answers_for_one_case_alone_gets_no_benefit_of_the_doubt() -> None:
    case = random_case((32, 4), "float32", offset=1000)

    def answered(other: Case) -> Gradients:
        if other is not case:
            raise LookupError
        return closed(other, one_pass, usual)

    assert wrong_or_unstable(answered, LAYER, case, "dx") is Verdict.WRONG
