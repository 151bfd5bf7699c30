"""The Σ/δ algebra, held against SymPy's own differentiation and against numbers."""

import numpy as np
import pytest
import sympy as sp

from bncheck.oracles.symbolic.sums import contract, derivative, is_zero, normal, over, substitute

Q, J, K, C, M = sp.symbols("i i' i'' c m")  # one letter, one range
X, DY = sp.IndexedBase("x"), sp.IndexedBase("dy")
MEAN = sp.Sum(X[J, C], (J, 1, M)) / M
VAR = sp.Sum((X[K, C] - MEAN) ** 2, (K, 1, M)) / M
ROOT = sp.sqrt(VAR + sp.Symbol("eps"))


@pytest.mark.parametrize(
    "expression",
    [MEAN, VAR, ROOT, (X[Q, C] - MEAN) / ROOT, sp.Sum(DY[Q, C] * (X[Q, C] - MEAN) / ROOT, (Q, 1, M))],
    ids=["mean", "variance", "root", "normalised", "loss"],
)
def test_the_derivative_is_the_one_sympy_takes(expression: sp.Expr) -> None:
    p, q = sp.symbols("p q")
    assert is_zero(derivative(expression, X[p, q]) - contract(expression.diff(X[p, q])))
    assert not is_zero(derivative(expression, X[p, q]) - 2 * contract(expression.diff(X[p, q])))


def test_what_vanishes_vanishes_and_what_does_not_does_not() -> None:
    centred = X[Q, C] - MEAN
    assert is_zero(sp.Sum(centred, (Q, 1, M)))
    assert is_zero(sp.Sum(centred**2, (Q, 1, M)) - M * VAR)
    assert is_zero(VAR - sp.Sum(X[Q, C] ** 2, (Q, 1, M)) / M + MEAN**2)
    assert not is_zero(sp.Sum(centred**3, (Q, 1, M)))
    assert not is_zero(VAR - sp.Sum(X[Q, C] ** 2, (Q, 1, M)) / M - MEAN**2)


def test_roots_are_compared_as_algebra_does() -> None:
    v = VAR + sp.Symbol("eps")
    assert is_zero(v / sp.sqrt(v) - sp.sqrt(v))
    assert is_zero(1 / sp.sqrt(v) - v ** sp.Rational(-3, 2) * v)
    assert not is_zero(1 / sp.sqrt(v) - 1 / v)
    nested = sp.sqrt(v) + 3
    assert is_zero(1 / nested - (sp.sqrt(v) - 3) / (v - 9))


def test_a_delta_picks_its_element_and_a_constant_is_counted() -> None:
    assert contract(sp.Sum(sp.KroneckerDelta(Q, J) * DY[Q, C], (Q, 1, M))) == DY[J, C]
    assert normal(sp.Sum(sp.Symbol("a"), (Q, 1, M))) == M * sp.Symbol("a")


def test_bound_indices_are_renamed_rather_than_captured() -> None:
    inner = sp.Sum(X[Q, C] * DY[J, C], (J, 1, M))  # i is free, j is bound
    moved = substitute(inner, {Q: J})
    assert J in moved.free_symbols
    assert normal(moved) == normal(X[J, C] * sp.Sum(DY[K, C], (K, 1, M)))


def test_names_of_bound_indices_mean_nothing() -> None:
    assert normal(sp.Sum(X[J, C], (J, 1, M))).free_symbols == normal(over(X[Q, C], {Q: M})).free_symbols
    assert is_zero(normal(over(X[Q, C] * DY[Q, C], {Q: M})) - normal(over(DY[Q, C] * X[Q, C], {Q: M})))


def test_normal_forms_keep_their_value() -> None:
    """Random expressions, evaluated for m = 3 before and after."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(2, 4, 2))

    def value(expression: sp.Expr) -> float:
        written = expression.subs(M, 3).doit()
        table = {X[i, 1]: numbers[0, i, 1] for i in range(4)} | {DY[i, 1]: numbers[1, i, 1] for i in range(4)}
        return float(written.subs({C: 1, Q: 2, J: 2, K: 2}).subs(table).subs(sp.Symbol("eps"), 0.5))

    expression = sp.Sum(DY[Q, C] * (X[Q, C] - X[1, C]) ** 2, (Q, 1, M)) * (X[2, C] + 3) - VAR.subs(J, Q) * 2
    simple = sp.Sum(DY[Q, C] * (X[Q, C] - X[1, C]) ** 2, (Q, 1, M)) * (X[2, C] + 3)
    assert value(normal(simple)) == pytest.approx(value(simple))
    assert normal(expression) == normal(normal(expression))
