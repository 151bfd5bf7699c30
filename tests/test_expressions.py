"""The language of derived programs: what its constructors make of a tree, and its value on every kind of number."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bncheck.bugs.expressions import (
    ONE,
    ZERO,
    Expression,
    Held,
    Larger,
    Name,
    Power,
    Product,
    Reduced,
    Room,
    Sum,
    exchanged,
    minus,
    number,
    over,
    places,
    plus,
    power,
    put,
    signed,
    times,
)
from bncheck.formats import Format
from bncheck.tangents import Tangent
from bncheck.tolerances.intervals import Radius

A, B, M = Name("a"), Name("b"), Name("m")
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (plus(), ZERO),
        (plus(A, ZERO), A),
        (plus(A, plus(B, A)), Sum((A, B, A))),
        (times(), ONE),
        (times(A, ZERO), ZERO),
        (times(number(2), A, number(HALF)), A),
        (times(A, times(B, number(3))), Product((number(3), A, B))),
        (times(A, A), Power(A, Fraction(2))),
        (over(A, A), ONE),
        (over(A, power(B, HALF)), Product((A, Power(B, -HALF)))),
        (power(A, 0), ONE),
        (power(A, 1), A),
        (power(power(A, 2), 3), Power(A, Fraction(6))),
        (power(power(A, HALF), 2), A),
        (power(power(A, 2), HALF), Power(Power(A, Fraction(2)), HALF)),  # √a² is |a|
        (power(times(A, B), 2), Product((Power(A, Fraction(2)), Power(B, Fraction(2))))),
        (power(number(2), -1), number(HALF)),
        (minus(minus(A)), A),
    ],
)
def test_what_is_made_is_simple(made: Expression, expected: Expression) -> None:
    assert made == expected


def test_a_sign_is_told_from_a_term() -> None:
    assert signed(minus(times(number(2), A))) == (times(number(2), A), True)
    assert signed(number(-3)) == (number(3), True)
    assert signed(A) == (A, False)


def test_every_place_can_be_written_otherwise() -> None:
    expression = plus(times(A, B), Reduced(power(A, 2), "N"))
    for way, node in places(expression):
        assert put(expression, way, node) == expression
        assert "z" in put(expression, way, Name("z")).names
    assert exchanged(expression, {"a": M}) == plus(times(M, B), Reduced(power(M, 2), "N"))
    assert exchanged(expression, {"q": M}) is expression


RNG = np.random.default_rng(0)
VALUES: dict[str, Any] = {"a": RNG.uniform(1, 2, (4, 3)), "b": RNG.uniform(1, 2, (1, 3)), "m": 4}
a, b, m = VALUES.values()
MEANING = (
    (plus(A, minus(B)), a - b),
    (times(number(2), A, power(B, -1)), 2 * a / b),
    (power(A, Fraction(-3, 2)), a**-1.5),
    (power(A, Fraction(1, 4)), a**0.25),
    (Reduced(A, "N"), a.sum(axis=0, keepdims=True)),
    (Reduced(A, "NC", mean=True), a.mean(keepdims=True)),
    (over(Reduced(times(A, B), "N"), M), (a * b).mean(axis=0, keepdims=True)),
    (Larger(A, B), np.maximum(a, b)),
    (Larger(A, B, which=True), a > b),
    (Held(times(A, A)), a * a),
)
cases = pytest.mark.parametrize(("expression", "meaning"), MEANING, ids=range(len(MEANING)))


@cases
def test_the_value_on_floats(expression: Expression, meaning: Any) -> None:
    np.testing.assert_allclose(expression.value(Room(VALUES, "NC")), meaning, rtol=1e-15)


@cases
def test_the_value_on_intervals_holds_that_on_floats(expression: Expression, meaning: Any) -> None:
    lifted = {name: Radius.exact(np.asarray(v), Format.of("float32")) for name, v in VALUES.items() if name != "m"}
    value = expression.value(Room({**lifted, "m": 4}, "NC"))
    if isinstance(value, Radius):
        assert (abs(value.midpoint - meaning) <= value.radius).all()
    else:
        np.testing.assert_array_equal(value, meaning)


@cases
def test_the_value_on_tangents_is_the_slope(expression: Expression, meaning: Any) -> None:
    direction = RNG.normal(size=a.shape)
    value = expression.value(Room({**VALUES, "a": Tangent(a, direction)}, "NC"))
    if isinstance(expression, Held):
        assert value.tangent is None
        return
    at = [expression.value(Room({**VALUES, "a": a + step * direction}, "NC")) for step in (1e-6, -1e-6)]
    slope = (np.asarray(at[0], float) - at[1]) / 2e-6
    tangent = value.tangent if isinstance(value, Tangent) else np.zeros_like(slope)
    np.testing.assert_allclose(tangent, slope, atol=1e-8)


def test_what_has_no_value_is_nan() -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(over(ONE, plus(M, number(-4))).value(Room(VALUES, "NC")))
        assert np.isnan(power(minus(M), HALF).value(Room(VALUES, "NC")))
