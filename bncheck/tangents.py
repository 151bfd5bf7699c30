"""Forward mode: a definition run on tangents is the definition of its own Jacobian-vector product.

So the jvp of a layer is a layer like any other: derived, proved, lowered, enclosed and checked by the same code. Its
value ẏ is J·ẋ, its gradient with respect to ẋ is the layer's own first-order gradient Jᵀ·dy, and its gradient with
respect to x is the layer's second order, what a double backward pass computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bncheck.definitions import Definition
from bncheck.errors import InvalidDefinition

SUFFIX = "_tangent"


def tangent_of(name: str) -> str:
    """The name of a value's tangent.

    >>> tangent_of("gamma")
    'gamma_tangent'
    """
    return name + SUFFIX


def refuse_to_branch(*_: Any) -> Any:
    """What comparing a value, or asking whether it is true, ends in: each way would have a formula of its own.

    Raises
        InvalidDefinition: always.
    """
    raise InvalidDefinition(
        "the definition branches on a value, expected one formula for every input. Leave out the branch."
    )


@dataclass(frozen=True, eq=False)
class Tangent:
    """A value of any kind and its derivative along one direction; a tangent of None is one that vanishes throughout.

    >>> x = Tangent(3.0, 1.0)
    >>> (x * x / 2).tangent
    3.0
    """

    value: Any
    tangent: Any = None

    __array_ufunc__ = None  # an array on the left leaves the operation to this class

    def _pushed(self, other: Any, value: Any, slope: Any, other_slope: Any) -> Tangent:
        """A result with its tangent, the sum of what both operands' tangents become."""
        mine = None if self.tangent is None else slope(self.tangent)
        others = None if other.tangent is None else other_slope(other.tangent)
        return Tangent(value, others if mine is None else mine if others is None else mine + others)

    def __add__(self, other: Any) -> Tangent:
        other = _lifted(other)
        return self._pushed(other, self.value + other.value, lambda t: t, lambda t: t)

    def __radd__(self, other: Any) -> Tangent:
        return _lifted(other) + self

    def __neg__(self) -> Tangent:
        return Tangent(-self.value, None if self.tangent is None else -self.tangent)

    def __sub__(self, other: Any) -> Tangent:
        other = _lifted(other)
        if self.tangent is not None and other.tangent is not None:
            return Tangent(self.value - other.value, self.tangent - other.tangent)
        return self._pushed(other, self.value - other.value, lambda t: t, lambda t: -t)

    def __rsub__(self, other: Any) -> Tangent:
        return _lifted(other) - self

    def __mul__(self, other: Any) -> Tangent:
        other = _lifted(other)
        return self._pushed(other, self.value * other.value, lambda t: t * other.value, lambda t: self.value * t)

    def __rmul__(self, other: Any) -> Tangent:
        return _lifted(other) * self

    def __truediv__(self, other: Any) -> Tangent:
        other = _lifted(other)
        quotient = self.value / other.value
        if other.tangent is None:
            return self._pushed(other, quotient, lambda t: t / other.value, lambda t: t)
        lost = quotient * other.tangent
        left = -lost if self.tangent is None else self.tangent - lost
        return Tangent(quotient, left / other.value)

    def __rtruediv__(self, other: Any) -> Tangent:
        return _lifted(other) / self

    def __pow__(self, exponent: int) -> Tangent:
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = refuse_to_branch
    __hash__ = None  # type: ignore[assignment]  # to look a value up is to compare it


def _lifted(operand: Any) -> Tangent:
    return operand if isinstance(operand, Tangent) else Tangent(operand)


@lru_cache
def forward_mode(definition: Definition) -> Definition:
    """The definition of ẏ = J·ẋ, of the same form: every named value, then every tangent, ẏ last under the name y.

    Its parameters are the tangents of x and of every parameter, and those parameters on which ẏ depends: what is only
    added is not among them.

    Raises
        InvalidDefinition: the definition does something other than the elementary operations.

    >>> from bncheck.definitions import batch_norm
    >>> list(inspect.signature(forward_mode(batch_norm)).parameters)
    ['x', 'gamma', 'x_tangent', 'gamma_tangent', 'beta_tangent', 'eps', 'mean', 'sqrt']
    """
    signature = inspect.signature(definition)
    names = list(signature.parameters)
    moved = names[: names.index("eps")]
    _refuse_tangents(definition.__name__, moved)

    def pushed(x: Any, **given: Any) -> dict[str, Any]:
        directions = {name: given.pop(tangent_of(name), None) for name in moved}
        operations = {name: push(given.pop(name)) for name, push in _PUSHING.items() if name in given}
        values = {name: signature.parameters[name].default for name in moved[1:]} | given
        inputs = {name: Tangent(value, directions.get(name)) for name, value in values.items()}
        named = definition(Tangent(x, directions["x"]), **inputs, **operations)
        _refuse_tangents(definition.__name__, named)
        results = {name: result.value for name, result in named.items() if name != "y"}
        results |= {tangent_of(n): r.tangent for n, r in named.items() if n != "y" and r.tangent is not None}
        return {**results, "y": named["y"].tangent}

    every = {name: _Needed({name}) for name in (*moved, *map(tangent_of, moved))}
    alone = {name: lambda value: value for name in ("mean", "sqrt") if name in signature.parameters}
    rest = {n: 2 for n, p in signature.parameters.items() if n == "count" and p.default is inspect.Parameter.empty}
    try:
        needed = pushed(**every, eps=1, **alone, **rest)["y"]
    except InvalidDefinition:
        raise
    except Exception as error:
        raise InvalidDefinition(
            f"definition={definition.__name__} raised {type(error).__name__}: {error} on tangents; expected only"
            " + - * / **, mean and sqrt. Rewrite it with these."
        ) from error
    kept = [name for name in every if name in needed and name != "x"]
    optional = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0) for name in kept]
    others = [p for name, p in signature.parameters.items() if name not in moved]
    first = signature.parameters["x"]
    pushed.__signature__ = inspect.Signature([first, *optional, *others])  # type: ignore[attr-defined]
    pushed.__name__ = f"{definition.__name__}_jvp"
    return pushed


def _refuse_tangents(definition: str, names: Iterable[str]) -> None:
    """A name that its own jvp gives to a tangent would stand for two things there."""
    for name in names:
        if name.endswith(SUFFIX):
            raise InvalidDefinition(
                f"definition={definition} calls something {name}, expected no name that ends in {SUFFIX}: those are"
                " forward mode's. Rename it."
            )


def _pushing_mean(mean: Any) -> Any:
    return lambda a: Tangent(mean(a.value), None if a.tangent is None else mean(a.tangent))


def _pushing_sqrt(sqrt: Any) -> Any:
    def pushed(a: Tangent) -> Tangent:
        root = sqrt(a.value)
        return Tangent(root, None if a.tangent is None else a.tangent / (2 * root))

    return pushed


_PUSHING = {"mean": _pushing_mean, "sqrt": _pushing_sqrt}
"""The operations handed in, as they act on tangents: a mean is linear, a root's slope is half its inverse."""


class _Needed(frozenset[str]):
    """The names on which a number depends; every operation is their union."""

    def _with(self, other: Any) -> _Needed:
        return _Needed(self | other) if isinstance(other, _Needed) else self

    __add__ = __radd__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __rsub__ = _with
    __sub__ = _with

    def __neg__(self) -> _Needed:
        return self
