"""Midpoint-radius arithmetic encloses: held against exact fractions, in every order of addition."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bncheck.formats import DTYPES, Format
from bncheck.tolerances.intervals import Radius

HALF = Format.of("float16")
BRAIN = Format.of("bfloat16")
DOUBLE = Format.of("float64")


def contains(radius: Radius, exact: Fraction, at: tuple[int, ...] = ()) -> bool:
    return abs(Fraction(float(radius.midpoint[at])) - exact) <= Fraction(float(radius.radius[at]))


@pytest.mark.parametrize("name", list(DTYPES))
def test_a_format_is_what_its_dtype_does(name: str) -> None:
    dtype, fmt = DTYPES[name], Format.of(name)
    one, zero = np.ones((), dtype), np.zeros((), dtype)
    assert float(np.spacing(one)) == 2 * fmt.roundoff
    assert float(np.nextafter(zero, one)) == fmt.smallest
    assert float(np.spacing(np.asarray(fmt.normal, dtype))) == fmt.smallest == 2 * fmt.roundoff * fmt.normal
    with np.errstate(over="ignore"):
        assert np.isinf(np.nextafter(np.asarray(fmt.largest, dtype), np.asarray(np.inf, dtype)))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
def test_each_operation_encloses_the_exact_result_and_every_rounding_of_it(name: str) -> None:
    rng = np.random.default_rng(0)
    fmt, dtype = Format.of(name), DTYPES[name].type
    for a, b in rng.normal(size=(200, 2)).astype(dtype):
        left, right = Radius.exact(a, fmt), Radius.exact(b, fmt)
        p, q = Fraction(float(a)), Fraction(float(b))
        for got, exact, rounded in (
            (left + right, p + q, a + b),
            (left - right, p - q, a - b),
            (left * right, p * q, a * b),
            (left / right, p / q, a / b),
            (2 - left, 2 - p, dtype(2) - a),
            (1 / left, 1 / p, dtype(1) / a),
            (left**3, p**3, a * a * a),
        ):
            assert contains(got, exact)
            assert contains(got, Fraction(float(rounded)))
            assert got.radius < 8 * fmt.roundoff * (abs(float(p)) + abs(float(q)) + 2 + abs(float(got.midpoint))) + 1e-6


def test_a_sum_encloses_every_order_of_addition() -> None:
    values = np.array([2048, 1, -2047, 0.5, 3], dtype=np.float16)
    bound = Radius.exact(values, HALF).sum(axis=(0,))
    reached = set()
    for order in itertools.permutations(values):
        total = np.float16(0)
        for value in order:
            total = np.float16(total + value)
        reached.add(float(total))
    assert len(reached) > 3  # the order matters a great deal here
    assert all(abs(total - float(bound.midpoint[0])) <= float(bound.radius[0]) for total in reached)


def test_pairwise_sums_are_enclosed_too() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=1024).astype(np.float16)
    bound = Radius.exact(values, HALF).sum(axis=(0,))
    level = values
    while level.size > 1:
        level = level[::2] + level[1::2]
    assert abs(float(level[0]) - float(bound.midpoint[0])) <= bound.radius[0]


def test_storing_in_a_narrower_format_is_one_rounding_of_it() -> None:
    values = np.random.default_rng(3).normal(size=1000)
    stored = Radius.exact(values, DOUBLE).rounded_to(BRAIN)
    rounded = values.astype(DTYPES["bfloat16"]).astype(np.float64)
    fraction = np.abs(rounded - values) / stored.radius
    assert 0.95 < fraction.max() <= 1
    assert stored.format == BRAIN
    assert np.isinf(Radius.exact(1e39, DOUBLE).rounded_to(BRAIN).radius)


def test_what_may_leave_the_range_is_unbounded() -> None:
    big = Radius.exact([60000.0, 60000.0], HALF)
    assert np.isinf(big.sum(axis=(0,)).radius).all()
    assert np.isinf((big * 2).radius).all()
    assert np.isfinite((big / 2).radius).all()


def test_a_divisor_that_may_vanish_gives_an_unbounded_quotient() -> None:
    tiny = Radius.exact(1e-3, HALF) - Radius.exact(1e-3, HALF)
    assert np.isinf((1 / tiny).radius)
    assert np.isinf((Radius.exact(1.0, HALF) / Radius.exact(0.0, HALF)).radius)


def test_underflow_is_bounded_by_the_smallest_number() -> None:
    small = Radius.exact(2.0**-20, HALF)
    assert float(np.float16(2.0**-20) * np.float16(2.0**-20)) == 0
    assert contains(small * small, Fraction(1, 2**40))
    assert contains(small * small, Fraction(0))


def test_a_root_encloses_across_zero() -> None:
    nearly = Radius(np.array(0.0), np.array(1e-4), HALF).sqrt()
    assert nearly.radius >= 1e-2


def test_numpy_scalars_on_the_left_are_understood() -> None:
    third = Radius.exact(3.0, DOUBLE)
    assert contains(np.float64(1) / third, Fraction(1, 3))
    assert contains(np.float64(1) - third, Fraction(-2))


def test_einsum_is_a_product_and_a_sum() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 3))
    left: Any = Radius.exact(a, DOUBLE)  # NumPy's types know arrays only
    right: Any = Radius.exact(b, DOUBLE)
    got = np.einsum("nc,nc->c", left, right)
    zero = Fraction(0)
    exact = [sum((Fraction(x) * Fraction(y) for x, y in zip(a[:, c], b[:, c], strict=True)), zero) for c in range(3)]
    assert all(contains(got, value, (c,)) for c, value in enumerate(exact))


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_a_product_of_matrices_encloses_every_order_of_addition(name: str) -> None:
    rng = np.random.default_rng(1)
    fmt, dtype = Format.of(name), DTYPES[name].type
    a, b = rng.normal(size=(3, 6)).astype(dtype), rng.normal(size=(6, 2)).astype(dtype)
    known = Radius.exact(a, fmt) @ b
    assert (known.radius < 40 * fmt.roundoff * (np.abs(a) @ np.abs(b)) + 1e-6 * (name == "float16")).all()
    for i, j in np.ndindex(3, 2):
        terms = (Fraction(float(p)) * Fraction(float(q)) for p, q in zip(a[i], b[:, j], strict=True))
        exact = sum(terms, start=Fraction(0))
        assert contains(known, exact, (i, j))
        for order in itertools.permutations(range(6)):
            total = dtype(0)
            for k in order:
                total = dtype(total + dtype(a[i, k] * b[k, j]))
            assert contains(known, Fraction(float(total)), (i, j))
    left = a.astype(np.float64) @ Radius.exact(b, fmt)
    np.testing.assert_array_equal(left.midpoint, known.midpoint)


def test_a_product_of_matrices_encloses_what_its_operands_enclose() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(4, 5)), rng.normal(size=(5, 3))
    wide_a, wide_b = Radius(a, np.full_like(a, 0.1), DOUBLE), Radius(b, np.full_like(b, 0.2), DOUBLE)
    known = wide_a @ wide_b
    for _ in range(200):
        moved = (a + 0.1 * rng.choice((-1, 1), size=a.shape)) @ (b + 0.2 * rng.choice((-1, 1), size=b.shape))
        assert (np.abs(moved - known.midpoint) <= known.radius).all()
    corner = (a[0] + 0.1 * np.sign(b[:, 0])) @ (b[:, 0] + 0.2 * np.sign(a[0]))  # where nearly all add up
    assert abs(corner - known.midpoint[0, 0]) > 0.5 * known.radius[0, 0]


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("function", ["exp", "log", "tanh"])
def test_elementary_functions_enclose_the_truth_and_what_numpy_computes(function: str, name: str) -> None:
    """The truth by Arb, over the whole of the interval."""
    flint = pytest.importorskip("flint")
    fmt, dtype = Format.of(name), DTYPES[name].type
    rng = np.random.default_rng(3)
    values = (np.exp(3 * rng.normal(size=200)) if function == "log" else 4 * rng.normal(size=200)).astype(dtype)
    for width in (0.0, 1e-3):
        radius = width * np.abs(values.astype(np.float64))
        known = getattr(np, function)(Radius(values.astype(np.float64), radius, fmt))
        for k, value in enumerate(values):
            for side in (-1, 0, 1):
                place = flint.arb(float(value)) + side * flint.arb(float(radius[k]))
                exact = getattr(place, function)()
                off = abs(exact - flint.arb(float(known.midpoint[k])))
                assert off.upper() <= known.radius[k] * (1 + 1e-12)
            assert abs(float(getattr(np, function)(value)) - known.midpoint[k]) <= known.radius[k]
        if not width:
            assert (known.radius <= 20 * fmt.roundoff * np.abs(known.midpoint)).all()


def test_beyond_its_range_an_exponential_tells_nothing() -> None:
    assert np.isinf(np.exp(Radius.exact(800.0, DOUBLE)).radius)
    assert np.isinf(np.log(Radius(np.array(1.0), np.array(1.0), DOUBLE)).radius)


def test_comparisons_are_open_where_the_interval_is() -> None:
    values: Any = Radius(np.array([-2.0, -0.5, 0.5, 2.0]), np.ones(4), DOUBLE)
    larger = values > 0
    assert larger.midpoint.tolist() == [0, 0, 1, 1]
    assert larger.radius.tolist() == [0, 1, 1, 0]
    touching = Radius(np.array([-1.0, 1.0]), np.ones(2), DOUBLE) > 0  # at most 0; and at least 0, which is not larger
    assert touching.radius.tolist() == [0, 1]
    assert (Radius.exact(np.array([0.0, 1.0]), DOUBLE) > 0).radius.tolist() == [0, 0]
    positive: Any = np.maximum(values, 0)
    assert positive.midpoint.tolist() == [0, 0, 0.5, 2]
    assert positive.radius.tolist() == [0, 1, 1, 1]
    with pytest.raises(ArithmeticError, match="which is the largest is open"):
        values.reshape(2, 2).argmax(axis=1)
    apart = Radius(np.array([[0.0, 3.0], [5.0, 1.0]]), np.ones((2, 2)), DOUBLE)
    assert apart.argmax(axis=1).tolist() == [1, 0]
    assert apart.max(axis=1).tolist() == [[3.0], [5.0]]


def test_parts_of_an_array_keep_their_radii() -> None:
    values: Any = Radius(np.arange(6.0).reshape(2, 3), 0.1 * np.arange(6.0).reshape(2, 3), DOUBLE)
    for part, place in ((values[1], np.s_[1]), (values[:, ::-1], np.s_[:, ::-1])):
        np.testing.assert_array_equal(part.radius, values.radius[place])
    np.testing.assert_array_equal(values.T.radius, values.radius.T)
    padded: Any = np.pad(values, ((1, 0), (0, 1)))
    joined: Any = np.concatenate([values, values], axis=1)
    np.testing.assert_array_equal(padded.radius, np.pad(values.radius, ((1, 0), (0, 1))))
    np.testing.assert_array_equal(joined.radius[:, 3:], values.radius)
