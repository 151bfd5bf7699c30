"""Conventions are read off outputs by arithmetic; what the evidence does not separate stays unknown."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from bncheck.targets.conventions import UNKNOWN, Divisor, Running, Steps, agree, divided, running

PLACES: dict[str, Callable[[float, float], float]] = {
    "inside the root": lambda std, eps: math.sqrt(std * std + eps),
    "outside the root": lambda std, eps: std + eps,
    "max(var, eps)": lambda std, eps: math.sqrt(max(std * std, eps)),
}


@pytest.mark.parametrize("eps", [1e-8, 10e-7, 1e-5, 1e-3, 0.1])
@pytest.mark.parametrize("count", [2, 8, 1000])
@pytest.mark.parametrize("variance", ["biased", "unbiased"])
@pytest.mark.parametrize("place", PLACES)
def test_eps_its_place_and_the_divisor_are_told(place: str, variance: str, count: int, eps: float) -> None:
    factor = math.sqrt(count / (count - 1)) if variance == "unbiased" else 1.0
    found = divided(lambda half: PLACES[place](factor * half, eps), count)
    assert (found.place, found.variance) == (place, variance)
    assert found.eps == pytest.approx(eps, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_does_not_mislead(dtype: str) -> None:
    def divisor(half: float) -> float:
        x = np.array([half, -half] * 4, dtype)
        xhat = (x - x.mean()) / np.sqrt(x.var() + np.dtype(dtype).type(1e-5))
        return float(x[0] / xhat[0])

    found = divided(divisor, 8)
    assert (found.eps, found.place, found.variance) == (1e-5, "inside the root", "biased")


def test_no_eps_at_all_is_seen() -> None:
    found = divided(lambda half: half, 8)
    assert (found.eps, found.place, found.variance) == (0.0, "none", "biased")


@pytest.mark.parametrize(
    "divisor",
    [
        lambda half: math.nan,
        lambda half: 1.0,
        lambda half: half * half + 1e-5,  # the variance, not its root
        lambda half: math.sqrt(half**2 + 1e-5) + 1e-3,  # eps twice, in both places
        lambda half: math.sqrt(0.7 * half**2 + 1e-5),
    ],
)
def test_what_fits_no_hypothesis_stays_unknown(divisor: Divisor) -> None:
    found = divided(divisor, 8)
    assert UNKNOWN in (found.place, found.variance)


def steps(keep: float, new: float, factor: float = 1.0) -> Steps:
    first, batch = np.array([0.3, -0.2, 0.9]), np.array([2.0, 0.5, -1.0])
    return Steps(first, keep * first + new * factor * batch, batch)


@pytest.mark.parametrize(
    ("keep", "new", "momentum", "sense"),
    [
        (0.9, 0.1, 0.9, "weight of the old"),
        (0.9, 0.1, 0.1, "weight of the new"),
        (0.5, 0.5, 0.5, UNKNOWN),
        (0.9, 0.1, None, UNKNOWN),
        (0.9, 0.1, 0.3, UNKNOWN),
    ],
)
def test_the_sense_of_momentum(keep: float, new: float, momentum: float | None, sense: str) -> None:
    assert running(steps(keep, new), steps(keep, new), 8, momentum) == Running(new, sense, "biased")


def test_the_divisor_of_the_running_variance() -> None:
    assert running(steps(0.9, 0.1), steps(0.9, 0.1, 8 / 7), 8, 0.9).variance == "unbiased"
    assert running(steps(0.9, 0.1), steps(0.9, 0.1, 1.05), 8, 0.9).variance == UNKNOWN
    assert running(steps(0.9, 0.1), steps(0.1, 0.9), 8, 0.9).variance == UNKNOWN


def test_a_rule_that_is_no_average_stays_unknown() -> None:
    unknown = Running(None, UNKNOWN, UNKNOWN)
    assert running(steps(1.0, 1.0), steps(1.0, 1.0), 8, 0.9) == unknown
    crooked = Steps(np.array([0.3, -0.2, 0.9]), np.array([1.0, 7.0, -3.0]), np.array([2.0, 0.5, -1.0]))
    assert running(crooked, crooked, 8, 0.9) == unknown
    single = Steps(np.array([0.3]), np.array([0.2]), np.array([2.0]))
    assert running(single, single, 8, 0.9) == unknown


def test_outputs_agree_but_for_rounding() -> None:
    values = np.array([1.0, -3.0])
    assert agree(values, values * (1 + 1e-7))
    assert not agree(values, values * 1.01)
    assert not agree(values, values[:1])
    assert not agree(np.array([np.nan]), np.array([np.nan]))
