"""Puts numbers into an identity, in Arb balls: to prove one can take long, and to try where it fails, forever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add, mul
from random import Random

import sympy as sp
from flint import arb

from bncheck.oracles import precision
from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.symbols import EPS, FEATURE, FEATURES, SIZES, GradientBase
from bncheck.outcomes import Outcome

BITS = 200


@dataclass(frozen=True)
class Point:
    """Where numbers are put in: sizes, and numbers drawn by name, as large as `scale`, positive or of both signs."""

    sizes: tuple[int, int, int, int, int]
    scale: float = 1.0
    signs: tuple[int, ...] = (1,)

    def size(self, letter: str) -> int:
        """How many values an index takes."""
        return dict(zip((*SIZES, str(FEATURE)), self.sizes, strict=True))[letter]

    def drawn(self, name: str, *, positive: bool = False) -> arb:
        """The number of that name."""
        random = Random(f"{name} at {self}")
        number = random.choice(self.signs) * self.scale * 4 ** random.uniform(-0.5, 0.5)
        return arb(abs(number) if positive else number)


POINTS = (
    Point((2, 3, 4, 5, 6)),
    Point((3, 5, 2, 4, 1), signs=(-1, 1)),
    Point((4, 6, 5, 3, 2), scale=8.0, signs=(-1, 1, 1)),
)
"""Where every identity is tried: no two sizes of a point are equal, and no size is the same at two points."""

FURTHER = (
    Point((2, 3, 4, 5, 6), scale=1 / 64, signs=(-1, 1)),
    Point((3, 5, 2, 4, 1), scale=4096.0),
    Point((2, 3, 4, 5, 6), signs=(-1,)),
)
"""Where it is tried if it has no value at any of `POINTS`: roots and quotients may exist for small x only, or large."""


def tried(expression: sp.Expr) -> Outcome:
    """What numbers tell of the claim that an expression is identically zero: it is refuted, or not decided.

    Raises
        NowhereDefined: it has no value at any point, so that nothing can be claimed of it.

    >>> i, m = sp.symbols("i m")
    >>> x = sp.IndexedBase("x")
    >>> mean = sp.Sum(x[i], (i, 1, m)) / m
    >>> print(tried(sp.Sum(x[i] - mean, (i, 1, m))), tried(sp.Sum(x[i] - mean / 2, (i, 1, m))), sep=", ")
    not decided, refuted
    """
    values = [value for value in _values(expression, POINTS) if value.is_finite()]
    if not values:
        values = [value for value in _values(expression, FURTHER) if value.is_finite()]
    if not values:
        raise NowhereDefined
    return Outcome.UNDECIDED if all(value.contains(0) for value in values) else Outcome.REFUTED


class NowhereDefined(Exception):
    """An expression has no value at any of the points: it divides by zero, or takes roots of what is negative."""


def _values(expression: sp.Expr, points: tuple[Point, ...]) -> Iterator[arb]:
    with precision.bits(BITS):
        for point in points:
            yield _Values(expression, point).value(expression)


class _Values:
    """What the parts of an expression come to at a point, for each place of the indices they hold."""

    def __init__(self, expression: sp.Expr, point: Point) -> None:
        self._point = point
        sizes = {**SIZES, str(FEATURE): FEATURES}
        self._sizes = {size: point.size(letter) for letter, size in sizes.items()}
        self._known: dict[object, arb] = {}

    def value(self, expression: sp.Expr, **places: int) -> arb:
        """The value where indices have these places; an index that no sum binds has the first."""
        held = {name: place for name, place in places.items() if name in _names(expression)}
        key = expression, *held.items()
        if key not in self._known:
            budgets.check()
            self._known[key] = self._computed(expression, held)
        return self._known[key]

    def _computed(self, expression: sp.Expr, places: dict[str, int]) -> arb:
        if expression.is_Rational:
            return arb(expression.p) / expression.q
        if isinstance(expression, sp.Symbol):
            if expression in self._sizes:
                return arb(self._sizes[expression])
            return self._point.drawn(expression.name, positive=expression == EPS or bool(expression.is_positive))
        if isinstance(expression, sp.Indexed):
            kind = "gradient" if isinstance(expression.base, GradientBase) else "value"
            at = [places.get(str(index), 0) for index in expression.indices]
            return self._point.drawn(f"{kind} {expression.base.label}{at}")
        if isinstance(expression, sp.Sum):
            *inner, (index, _, size) = expression.limits
            body = sp.Sum(expression.function, *inner) if inner else expression.function
            return reduce(add, (self.value(body, **{**places, index.name: k}) for k in range(self._sizes[size])))
        if isinstance(expression, sp.KroneckerDelta):
            left, right = (places.get(str(index), 0) for index in expression.args)
            return arb(int(left == right))
        values = [self.value(argument, **places) for argument in expression.args]
        if isinstance(expression, sp.Pow):
            return values[0] ** (int(expression.exp) if expression.exp.is_Integer else values[1])
        if isinstance(expression, sp.Add):
            return reduce(add, values)
        return reduce(mul, values) if isinstance(expression, sp.Mul) else arb("nan")


@lru_cache(maxsize=8192)
def _names(expression: sp.Expr) -> frozenset[str]:
    return frozenset(symbol.name for symbol in expression.free_symbols if isinstance(symbol, sp.Symbol))
