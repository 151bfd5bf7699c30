"""The language of derived programs: named arrays, numbers, sums, products, powers, means and totals.

An expression is a tree that can be looked into, rewritten in one place, and run on any kind of array: floats,
midpoint-radius arrays, tangents. Every array keeps all axes of x, reduced ones with size 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bncheck.tangents import Tangent
from bncheck.tolerances.intervals import Radius

MINUS = Fraction(-1)


class Room(NamedTuple):
    """Where expressions are run: the values of names, and which axis of an array each letter is."""

    values: Mapping[str, Any]
    axes: str


@dataclass(frozen=True)
class Expression:
    """One node of a tree; `parts` are the trees below it."""

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that this one is made of."""
        return ()

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The same node above other trees."""
        return self

    def value(self, room: Room) -> Any:
        """What it comes to."""
        raise NotImplementedError

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that occurs."""
        return frozenset().union(*(part.names for part in self.parts))


@dataclass(frozen=True)
class Name(Expression):
    """An input, a step of the program, a gradient, or a size."""

    label: str

    @cached_property
    def names(self) -> frozenset[str]:
        """Itself."""
        return frozenset((self.label,))

    def value(self, room: Room) -> Any:
        """What it comes to."""
        return room.values[self.label]


@dataclass(frozen=True)
class Number(Expression):
    """A rational number."""

    fraction: Fraction

    @cached_property
    def _plain(self) -> int | float:
        return self.fraction.numerator if self.fraction.denominator == 1 else float(self.fraction)

    def value(self, room: Room) -> Any:
        """What it comes to."""
        return self._plain


@dataclass(frozen=True)
class Sum(Expression):
    """Terms that are added; a term that is subtracted is a product with −1."""

    terms: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The terms."""
        return self.terms

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The sum of other terms."""
        return plus(*parts)

    @cached_property
    def _signed(self) -> tuple[tuple[Expression, bool], ...]:
        return tuple(map(signed, self.terms))

    def value(self, room: Room) -> Any:
        """What it comes to."""
        total = self.terms[0].value(room)
        for term, negative in self._signed[1:]:
            total = total - term.value(room) if negative else total + term.value(room)
        return total


@dataclass(frozen=True)
class Product(Expression):
    """Factors that are multiplied, at most one of them a number, which then comes first."""

    factors: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The factors."""
        return self.factors

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The product of other factors."""
        return times(*parts)

    @cached_property
    def _fraction(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """What stands above the fraction line, and what stands below it."""
        above = tuple(factor for factor in self.factors if not divides(factor))
        return above, tuple(power(factor, -1) for factor in self.factors if divides(factor))

    def value(self, room: Room) -> Any:
        """What stands above the fraction line over what stands below it."""
        above, below = (_multiplied(factors, room) for factors in self._fraction)
        return above if below is None else _quotient(1 if above is None else above, below)


@dataclass(frozen=True)
class Power(Expression):
    """A power with a rational exponent, whose denominator is a power of two."""

    base: Expression
    exponent: Fraction

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The base."""
        return (self.base,)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The same power of another base."""
        return power(parts[0], self.exponent)

    def value(self, room: Room) -> Any:
        """What it comes to."""
        return _power(self.base.value(room), *self._halved)

    @cached_property
    def _halved(self) -> tuple[int, int]:
        """How many roots are taken, and what power of that."""
        return self.exponent.denominator.bit_length() - 1, self.exponent.numerator


@dataclass(frozen=True)
class Reduced(Expression):
    """The total or the mean over axes, which stay with size 1."""

    body: Expression
    axes: str
    mean: bool = False

    @property
    def parts(self) -> tuple[Expression, ...]:
        """What is reduced."""
        return (self.body,)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The same reduction of another body."""
        return Reduced(parts[0], self.axes, self.mean)

    def value(self, room: Room) -> Any:
        """What it comes to."""
        return _reduced(self.body.value(room), tuple(map(room.axes.index, self.axes)), mean=self.mean)


@dataclass(frozen=True)
class Larger(Expression):
    """The larger of two, or with `which` whether the first is: 1 or 0."""

    left: Expression
    right: Expression
    which: bool = False

    @property
    def parts(self) -> tuple[Expression, ...]:
        """Both."""
        return (self.left, self.right)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The same of two others."""
        return Larger(parts[0], parts[1], self.which)

    def value(self, room: Room) -> Any:
        """What it comes to."""
        return _larger(self.left.value(room), self.right.value(room), which=self.which)


@dataclass(frozen=True)
class Held(Expression):
    """What is taken for a constant: its tangent is dropped, and no gradient flows through it."""

    body: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        """What is held."""
        return (self.body,)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """Another thing held."""
        return Held(parts[0])

    def value(self, room: Room) -> Any:
        """What it comes to."""
        body = self.body.value(room)
        return Tangent(body.value) if isinstance(body, Tangent) else body


ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))


def number(value: float | Fraction) -> Number:
    """A number as an expression."""
    return Number(Fraction(value))


def plus(*terms: Expression) -> Expression:
    """The sum, with sums among the terms written out and zeros left out."""
    flat: list[Expression] = []
    for term in terms:
        flat += term.terms if isinstance(term, Sum) else () if term == ZERO else (term,)
    return ZERO if not flat else flat[0] if len(flat) == 1 else Sum(tuple(flat))


def times(*factors: Expression) -> Expression:
    """The product, with products written out, numbers multiplied, and powers of one base joined."""
    coefficient = Fraction(1)
    exponents: dict[Expression, Fraction] = {}
    pending = list(factors)
    while pending:
        factor = pending.pop(0)
        if isinstance(factor, Product):
            pending[:0] = factor.factors
        elif isinstance(factor, Number):
            coefficient *= factor.fraction
        else:
            base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, Fraction(1))
            exponents[base] = exponents.get(base, Fraction(0)) + exponent
    powers = [base if e == 1 else Power(base, e) for base, e in exponents.items() if e]
    if coefficient == 0:
        return ZERO
    if coefficient != 1 or not powers:
        powers.insert(0, Number(coefficient))
    return powers[0] if len(powers) == 1 else Product(tuple(powers))


def power(base: Expression, exponent: Fraction | int) -> Expression:
    """A power; of a power, or of each factor of a product where the exponent is whole."""
    exponent = Fraction(exponent)
    if exponent == 0:
        return ONE
    if exponent == 1:
        return base
    if isinstance(base, Power) and (exponent.denominator == 1 or base.exponent.denominator > 1):
        return power(base.base, base.exponent * exponent)
    if isinstance(base, Product) and exponent.denominator == 1:
        return times(*(power(factor, exponent) for factor in base.factors))
    if isinstance(base, Number) and exponent.denominator == 1 and base.fraction:
        return Number(base.fraction**exponent.numerator)
    return Power(base, exponent)


def minus(term: Expression) -> Expression:
    """A term with its sign turned."""
    return times(Number(MINUS), term)


def over(dividend: Expression, *divisors: Expression) -> Expression:
    """A quotient."""
    return times(dividend, *(power(divisor, -1) for divisor in divisors))


def divides(factor: Expression) -> bool:
    """Whether a factor stands below the fraction line."""
    return isinstance(factor, Power) and factor.exponent < 0


def signed(term: Expression) -> tuple[Expression, bool]:
    """A term without its sign, and whether that was negative."""
    number = term if isinstance(term, Number) else term.parts[0] if isinstance(term, Product) else None
    if isinstance(number, Number) and number.fraction < 0:
        return minus(term), True
    return term, False


def places(expression: Expression) -> Iterator[tuple[tuple[int, ...], Expression]]:
    """Every node of a tree, with the way that leads to it."""
    yield (), expression
    for k, part in enumerate(expression.parts):
        for way, node in places(part):
            yield (k, *way), node


def put(expression: Expression, way: tuple[int, ...], new: Expression) -> Expression:
    """The tree with another one in some place."""
    if not way:
        return new
    parts = list(expression.parts)
    parts[way[0]] = put(parts[way[0]], way[1:], new)
    return expression.with_parts(tuple(parts))


def throughout(expression: Expression, change: Callable[[Expression], Expression | None]) -> Expression:
    """The tree with every node changed for which `change` gives another."""
    new = change(expression)
    if new is not None:
        return new
    parts = tuple(throughout(part, change) for part in expression.parts)
    same = all(new is old for new, old in zip(parts, expression.parts, strict=True))
    return expression if same else expression.with_parts(parts)


def exchanged(expression: Expression, names: Mapping[str, Expression]) -> Expression:
    """The tree with other expressions in the place of names."""
    if not expression.names & names.keys():
        return expression
    return throughout(expression, lambda node: names.get(node.label) if isinstance(node, Name) else None)


def _quotient(above: Any, below: Any) -> Any:
    if isinstance(below, int | float) and below == 0:
        return above * math.nan
    return above / below


def _multiplied(factors: Sequence[Expression], room: Room) -> Any:
    product = None
    for factor in factors:
        value = factor.value(room)
        product = value if product is None else product * value
    return product


def _power(value: Any, roots: int, exponent: int) -> Any:
    for _ in range(roots):
        value = _root(value)
    result = value
    for _ in range(abs(exponent) - 1):
        result = result * value
    return result if exponent > 0 else _quotient(1, result)


def _root(value: Any) -> Any:
    if isinstance(value, Tangent):
        root = np.sqrt(value.value)
        return Tangent(root, None if value.tangent is None else value.tangent / (2 * root))
    if isinstance(value, int | float):
        return math.sqrt(value) if value >= 0 else math.nan
    return np.sqrt(value)


def _reduced(value: Any, axes: tuple[int, ...], *, mean: bool) -> Any:
    if isinstance(value, int | float):
        return value
    if isinstance(value, Tangent):
        tangent = None if value.tangent is None else _reduced(value.tangent, axes, mean=mean)
        return Tangent(_reduced(value.value, axes, mean=mean), tangent)
    if isinstance(value, Radius):
        return value.mean(axes) if mean else value.sum(axes)
    return value.mean(axis=axes, keepdims=True) if mean else value.sum(axis=axes, keepdims=True)


def _larger(left: Any, right: Any, *, which: bool) -> Any:
    above = np.asarray(plain(left) > plain(right)).astype(np.float64)
    if which:
        return above
    return above * left + (1 - above) * right


def plain(value: Any) -> Any:
    """The numbers of an array of any kind."""
    if isinstance(value, Tangent):
        return plain(value.value)
    return value.midpoint if isinstance(value, Radius) else value
