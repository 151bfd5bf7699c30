"""What an implementation takes for granted, read off its outputs: eps and where it stands, the divisor, the momentum.

Every input is built so that the hypotheses answer differently by far more than rounding: elements ±a with a a power of
two, whose mean and mean square are exact in every dtype, so that what divides them can be read off y alone. A
convention that fits no hypothesis, or more than one, is `UNKNOWN`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bncheck.case import Array

UNKNOWN = "unknown"

Divisor = Callable[[float], float]
"""The half-width a of data ±a to what its implementation divides by."""

_CLOSE = 1e-4  # far above the rounding of float32, far below what separates the hypotheses
_HALF_WIDTHS = tuple(2.0**k for k in range(-60, 13, 3))
_EPS_PLACES: Mapping[str, tuple[Callable[[float, float], float], Callable[[float], float]]] = MappingProxyType(
    {
        "inside the root": (lambda s, e: math.sqrt(s * s + e), lambda d: d * d),
        "outside the root": (lambda s, e: s + e, lambda d: d),
        "max(var, eps)": (lambda s, e: math.sqrt(max(s * s, e)), lambda d: d * d),
    }
)
"""Where eps can stand: the divisor from σ and ε, and ε from the divisor where σ is next to nothing."""


@dataclass(frozen=True)
class Divided:
    """How the centred input is divided: `eps` and its `place`, and the divisor of the variance."""

    eps: float | None
    place: str
    variance: str


def divided(divisor: Divisor, count: int) -> Divided:
    """Eps, its place, and whether the variance is biased.

    >>> found = divided(lambda a: math.sqrt(a * a * 8 / 7 + 1e-6), count=8)
    >>> found.eps, found.place, found.variance
    (1e-06, 'inside the root', 'unbiased')
    """
    measured = {a: divisor(a) for a in _HALF_WIDTHS}
    if not all(math.isfinite(d) and d > 0 for d in measured.values()):
        return Divided(None, UNKNOWN, UNKNOWN)
    widest, narrowest = _HALF_WIDTHS[-1], _HALF_WIDTHS[0]
    factors = {"biased": 1.0, "unbiased": math.sqrt(count / (count - 1)) if count > 1 else math.inf}
    variance = _only([name for name, factor in factors.items() if _near(measured[widest], factor * widest)])
    factor = factors.get(variance, measured[widest] / widest)
    if all(_near(d, factor * a) for a, d in measured.items()):
        return Divided(0.0, "none", variance)
    fitting = {}
    for place, (law, solved) in _EPS_PLACES.items():
        eps = solved(measured[narrowest])
        if all(_near(d, law(factor * a, eps)) for a, d in measured.items()):
            fitting[place] = float(f"{eps:.4g}")
    place = _only(list(fitting))
    return Divided(fitting.get(place), place, variance)


@dataclass(frozen=True)
class Running:
    """How running statistics are kept: the weight of the new batch, what momentum means, and the divisor.

    The weight is None where no weight explains either statistic, and the divisor `UNKNOWN` where none explains the
    variance with the weight: then the rule is that of no convention.
    """

    new_weight: float | None
    momentum: str
    variance: str


def running(means: Steps, variances: Steps, count: int, momentum: float | None) -> Running:
    """The update rule from two steps: r₂ = r₁ + weight · (statistic of the second batch − r₁), 0 < weight ≤ 1.

    `momentum` is the value that the implementation was given or keeps, where that is known. Where the two statistics
    are not kept by the same weight, it is momentum's, or the mean's.

    >>> steps = Steps(np.array([0.1, 0.2]), np.array([0.4, 0.1]), np.array([3.1, -0.8]))
    >>> running(steps, steps, 8, 0.9)
    Running(new_weight=0.1, momentum='weight of the old', variance='biased')
    """
    factors = {"biased": 1.0, "unbiased": count / (count - 1) if count > 1 else math.inf}
    by_divisor = {name: variances.weight(factor) for name, factor in factors.items()}
    told = [weight for weight in (means.weight(), *by_divisor.values()) if weight is not None]
    if not told:
        return Running(None, UNKNOWN, UNKNOWN)
    senses = {} if momentum is None else {"weight of the old": 1 - momentum, "weight of the new": momentum}
    weight = next((w for w in told if any(_near(w, meant) for meant in senses.values())), told[0])
    sense = _only([name for name, meant in senses.items() if _near(weight, meant)])
    fitting = [name for name, factor in factors.items() if variances.follows(weight, factor)]
    return Running(weight, sense, _only(fitting))


@dataclass(frozen=True)
class Steps:
    """A running statistic after a first and a second batch, and the second batch's own."""

    first: Array
    second: Array
    batch: Array

    def weight(self, factor: float = 1.0) -> float | None:
        """The weight of the batch's statistic, times a factor, by least squares; None where none explains every group.

        It has no more digits than are sure.
        """
        before, after, batch = (value.ravel().astype(np.float64) for value in (self.first, self.second, self.batch))
        with np.errstate(all="ignore"):
            towards = factor * batch - before
            weight = float(np.sum((after - before) * towards) / np.sum(towards * towards))
        if not _CLOSE**2 < weight < 1 + _CLOSE:
            return None
        digits = (float(f"{weight:.{k}g}") for k in range(1, 18))
        sure = 4 * float(np.finfo(self.first.dtype).eps)
        weight = next(value for value in digits if math.isclose(value, weight, rel_tol=sure))
        return weight if weight <= 1 and self.follows(weight, factor) else None

    def follows(self, weight: float, factor: float = 1.0) -> bool:
        """Whether the second value is what this weight makes of the first."""
        with np.errstate(all="ignore"):
            expected = self.first + weight * (factor * self.batch - self.first)
            scale = float(np.abs(self.batch).max())
            return bool(np.allclose(self.second, expected, rtol=_CLOSE, atol=_CLOSE * scale))


def agree(first: Array, second: Array) -> bool:
    """Whether two outputs are the same but for rounding."""
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return False
    return bool(np.allclose(first, second, rtol=_CLOSE, atol=_CLOSE * float(np.abs(second).max(initial=0.0))))


def _near(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=_CLOSE)


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else UNKNOWN
