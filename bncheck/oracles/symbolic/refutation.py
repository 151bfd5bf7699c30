"""Refutes an identity at one point, in Arb balls: to prove one can take long, and to try where it fails, forever."""

from __future__ import annotations

from functools import lru_cache, reduce
from operator import add, mul
from random import Random

import sympy as sp
from flint import arb, ctx

_SIZE, _BITS = 3, 200


def refuted(expression: sp.Expr) -> bool:
    """Whether an expression is certainly not identically zero, seen where every size is 3, at numbers drawn by name.

    False tells nothing: the point may be a special one.

    >>> i, m = sp.symbols("i m")
    >>> x = sp.IndexedBase("x")
    >>> mean = sp.Sum(x[i], (i, 1, m)) / m
    >>> refuted(sp.Sum(x[i] - mean, (i, 1, m))), refuted(sp.Sum(x[i] - mean / 2, (i, 1, m)))
    (False, True)
    """
    with ctx.workprec(_BITS):
        return not _Point(expression).value(expression).contains(0)


class _Point:
    """A number for each symbol, and what parts of the expression come to, for each place of the indices they hold."""

    def __init__(self, expression: sp.Expr) -> None:
        self._sizes = {last for each in expression.atoms(sp.Sum) for _, _, last in each.limits}
        self._known: dict[object, arb] = {}

    def value(self, expression: sp.Expr, **places: int) -> arb:
        """The value where indices have these places; an index that no sum binds has the first."""
        held = {name: place for name, place in places.items() if name in _names(expression)}
        key = expression, *held.items()
        if key not in self._known:
            self._known[key] = self._computed(expression, held)
        return self._known[key]

    def _computed(self, expression: sp.Expr, places: dict[str, int]) -> arb:
        if expression.is_Rational:
            return arb(expression.p) / expression.q
        if isinstance(expression, sp.Symbol):
            return arb(_SIZE) if expression in self._sizes else _drawn(expression.name)
        if isinstance(expression, sp.Indexed):
            return _drawn(f"{expression.base.label}{[places.get(str(index), 0) for index in expression.indices]}")
        if isinstance(expression, sp.Sum):
            *inner, (index, _, _) = expression.limits
            body = sp.Sum(expression.function, *inner) if inner else expression.function
            return reduce(add, (self.value(body, **{**places, index.name: k}) for k in range(_SIZE)))
        values = [self.value(argument, **places) for argument in expression.args]
        if isinstance(expression, sp.Pow):
            return values[0] ** (int(expression.exp) if expression.exp.is_Integer else values[1])
        return reduce(add if isinstance(expression, sp.Add) else mul, values)


@lru_cache(maxsize=8192)
def _names(expression: sp.Expr) -> frozenset[str]:
    return frozenset(symbol.name for symbol in expression.free_symbols if isinstance(symbol, sp.Symbol))


def _drawn(name: str) -> arb:
    return arb(Random(name).uniform(0.5, 2))
