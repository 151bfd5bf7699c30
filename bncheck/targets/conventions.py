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
    """How running statistics are kept: the weight of the new batch, what momentum means, and the divisor."""

    new_weight: float | None
    momentum: str
    variance: str


def running(means: Steps, variances: Steps, count: int, momentum: float | None) -> Running:
    """The update rule from two steps: r₂ = keep · r₁ + new · statistic of the second batch.

    `momentum` is the value that the implementation was given or keeps, where that is known.

    >>> steps = Steps(np.array([0.1, 0.2]), np.array([0.4, 0.1]), np.array([3.1, -0.8]))
    >>> running(steps, steps, 8, 0.9)
    Running(new_weight=0.1, momentum='weight of the old', variance='biased')
    """
    weights = means.weights()
    if weights is None or not _near(sum(weights), 1.0):
        return Running(None, UNKNOWN, UNKNOWN)
    keep, new = weights
    senses = {"weight of the old": keep, "weight of the new": new}
    sense = _only([name for name, weight in senses.items() if momentum is not None and _near(weight, momentum)])
    factors = {"biased": 1.0, "unbiased": count / (count - 1) if count > 1 else math.inf}
    fitting = [name for name, factor in factors.items() if variances.follows(keep, new * factor)]
    return Running(float(f"{new:.4g}"), sense, _only(fitting))


@dataclass(frozen=True)
class Steps:
    """A running statistic after a first and a second batch, and the second batch's own."""

    first: Array
    second: Array
    batch: Array

    def weights(self) -> tuple[float, float] | None:
        """Keep and new, by least squares over the groups; None where they do not explain every group."""
        if self.first.size < 2:
            return None
        columns = np.stack([self.first.ravel(), self.batch.ravel()], axis=1).astype(np.float64)
        if not np.isfinite(columns).all() or np.linalg.matrix_rank(columns, _CLOSE) < 2:
            return None
        keep, new = np.linalg.lstsq(columns, self.second.ravel().astype(np.float64), rcond=None)[0]
        return (float(keep), float(new)) if self.follows(keep, new) else None

    def follows(self, keep: float, new: float) -> bool:
        """Whether the second value is this combination."""
        expected = keep * self.first + new * self.batch
        return bool(np.allclose(self.second, expected, rtol=_CLOSE, atol=_CLOSE * float(np.abs(self.batch).max())))


def agree(first: Array, second: Array) -> bool:
    """Whether two outputs are the same but for rounding."""
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return False
    return bool(np.allclose(first, second, rtol=_CLOSE, atol=_CLOSE * float(np.abs(second).max(initial=0.0))))


def _near(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=_CLOSE)


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else UNKNOWN
