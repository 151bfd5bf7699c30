"""A small algebra of finite sums over symbolic ranges, on SymPy expressions.

SymPy differentiates nested sums of indexed symbols, and leaves Kronecker deltas inside; its own `doit` cannot contract
them. Five rules are enough here: a sum is linear, it lets go of what its index does not touch, it contracts a delta,
the name of a bound index means nothing but its letter, which says what it runs over, and of two sums, one within the
other, that over the letter `INNERMOST` is taken first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import sympy as sp

from bncheck.oracles.symbolic import budgets

INNERMOST = "f"
"""The letter of the index over which a normal form sums within every other sum."""


def contract(expression: sp.Expr) -> sp.Expr:
    """Contracts the deltas and pulls constants out of sums; products that hold no delta stay as they were written.

    >>> i, j, m = sp.symbols("i i' m")
    >>> x = sp.IndexedBase("x")
    >>> contract(sp.Sum(sp.KroneckerDelta(i, j) * x[i], (i, 1, m)))
    x[i']
    """
    return _rewrite(expression, everywhere=False)


def normal(expression: sp.Expr) -> sp.Expr:
    """The normal form: a sum of products of powers, indexed symbols and sums of such products.

    >>> i, m = sp.symbols("i m")
    >>> x = sp.IndexedBase("x")
    >>> mean = sp.Sum(x[i], (i, 1, m)) / m
    >>> normal(sp.Sum(x[i] - mean, (i, 1, m)))
    0
    >>> f, size = sp.symbols("f F")
    >>> u, w = sp.IndexedBase("u"), sp.IndexedBase("w")
    >>> normal(sp.Sum(w[f] * sp.Sum(u[i, f] * x[i], (i, 1, m)), (f, 1, size)))
    Sum(x[i']*Sum(u[i', f']*w[f'], (f', 1, F)), (i', 1, m))
    """
    return _rewrite(expression, everywhere=True)


def derivative(expression: sp.Expr, symbol: sp.Indexed) -> sp.Expr:
    """The derivative with respect to one element of an indexed symbol, its deltas contracted.

    The same as `contract(expression.diff(symbol))`, which a test holds it to, in a quarter of the time: SymPy asks
    about the sign and the finiteness of every part.

    >>> i, j, m = sp.symbols("i i' m")
    >>> x = sp.IndexedBase("x")
    >>> derivative(sp.Sum(x[j] ** 2, (j, 1, m)), x[i])
    2*x[i]
    """
    return contract(_derivative(expression, symbol))


def _derivative(expression: sp.Expr, symbol: sp.Indexed) -> sp.Expr:
    budgets.check()
    if isinstance(expression, sp.Indexed):
        same = expression.base == symbol.base
        return sp.Mul(*map(sp.KroneckerDelta, expression.indices, symbol.indices)) if same else sp.S.Zero
    if isinstance(expression, sp.Sum):
        inner = _derivative(expression.function, symbol)
        return sp.Sum(inner, *expression.limits) if inner != 0 else inner
    if isinstance(expression, sp.Add):
        return sp.Add(*(_derivative(term, symbol) for term in expression.args))
    if isinstance(expression, sp.Mul):
        factors = expression.args
        slopes = [_derivative(factor, symbol) for factor in factors]
        return sp.Add(*(sp.Mul(*factors[:k], slope, *factors[k + 1 :]) for k, slope in enumerate(slopes) if slope != 0))
    if isinstance(expression, sp.Pow):
        base, exponent = expression.args
        slope = _derivative(base, symbol)
        return sp.Mul(exponent, base ** (exponent - 1), slope) if slope != 0 else slope
    return sp.S.Zero


def substitute(expression: sp.Expr, replacements: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Replaces indices where they are free; a bound index that would capture one is renamed."""
    budgets.check()
    present = {old: new for old, new in replacements.items() if old in _free(expression)}
    if not present:
        return expression
    if isinstance(expression, sp.Sum):
        taken = frozenset().union(*map(_free, present.values()))
        renamed = {index: sp.Dummy(index.name) for index, *_ in expression.limits if index in taken}
        body = substitute(expression.function, {**present, **renamed})
        return sp.Sum(body, *((renamed.get(index, index), *bounds) for index, *bounds in expression.limits))
    if expression in present:
        return present[expression]
    return expression.func(*(substitute(a, present) for a in expression.args))


def over(expression: sp.Expr, ranges: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """The sum of an expression over indices, each from 1 to its size, under bound names of their own."""
    for index, size in ranges.items():
        bound = _bound_index(index, expression)
        expression = sp.Sum(substitute(expression, {index: bound}), (bound, 1, size))
    return expression


@lru_cache(maxsize=8192)
def _free(expression: sp.Basic) -> frozenset[sp.Symbol]:
    """The symbols that no sum binds, labels of indexed bases aside."""
    if isinstance(expression, sp.Symbol):
        return frozenset((expression,))
    if isinstance(expression, sp.Sum):
        return _free(expression.function) - {index for index, *_ in expression.limits}
    parts = expression.indices if isinstance(expression, sp.Indexed) else expression.args
    return frozenset().union(*map(_free, parts))


def is_zero(expression: sp.Expr) -> bool:
    """Whether the algebra finds that the expression vanishes for every size and every value; False tells nothing.

    Powers of a sum V, as in V^(-1/2), are told apart by the fractional part of their exponent; within each class the
    lowest power is divided out and what is left, a polynomial, has to vanish in its normal form. So it vanishes where
    every V has a value other than zero: whether there is such a place, `bncheck.oracles.symbolic.refutation` tells.
    """
    pending = [normal(expression)]
    while pending:
        budgets.check()
        expression = pending.pop()
        bases = {factor.base for term in sp.Add.make_args(expression) for factor in _powers(term)}
        if bases:
            outermost = [b for b in bases if not any(other.has(b) for other in bases - {b})]
            pending.extend(_without_powers_of(min(outermost, key=sp.default_sort_key), expression))
        elif expression != 0:
            return False
    return True


def _powers(term: sp.Expr) -> list[sp.Pow]:
    """Those factors of a term that are powers of something other than a single symbol or sum over an index."""
    powers = [factor for factor in sp.Mul.make_args(term) if isinstance(factor, sp.Pow)]
    return [power for power in powers if isinstance(power.base, (sp.Add, sp.Mul, sp.Pow))]


def _without_powers_of(base: sp.Expr, expression: sp.Expr) -> list[sp.Expr]:
    """Expressions without roots or denominators of `base` that, where they all vanish, let `expression` vanish."""
    by_exponent: dict[sp.Rational, list[sp.Expr]] = {}
    for term in sp.Add.make_args(expression):
        powers = [power for power in _powers(term) if power.base == base]
        rest = sp.Mul(*(factor for factor in sp.Mul.make_args(term) if factor not in powers))
        by_exponent.setdefault(sum((p.exp for p in powers), start=sp.S.Zero), []).append(rest)
    lowest = min(by_exponent)
    classes: dict[sp.Rational, list[sp.Expr]] = {}
    for exponent, rests in by_exponent.items():
        whole, fraction = divmod(exponent - lowest, 1)
        classes.setdefault(fraction, []).append(sp.Mul(sp.Add(*rests), base**whole))
    return [normal(sp.Add(*terms)) for terms in classes.values()]


@lru_cache(maxsize=16384)
def _rewrite(expression: sp.Expr, *, everywhere: bool) -> sp.Expr:
    budgets.check()
    if isinstance(expression, sp.Sum):
        body = _rewrite(expression.function, everywhere=everywhere)
        for limit in expression.limits:
            body = _sum(body, *limit, everywhere=everywhere)
        return body
    if isinstance(expression, sp.Indexed) or not expression.args:
        return expression
    rewritten = expression.func(*(_rewrite(a, everywhere=everywhere) for a in expression.args))
    return _distribute(rewritten, everywhere=everywhere)


def _distribute(expression: sp.Expr, *, everywhere: bool) -> sp.Expr:
    """Products over sums of terms: all of them, or only those that hold a delta.

    Denominators are left alone, which SymPy's own expansion would multiply out.
    """
    if isinstance(expression, sp.Pow):
        whole = isinstance(expression.base, sp.Add) and expression.exp.is_Integer and expression.exp > 1
        return _product([expression.base] * int(expression.exp)) if whole and everywhere else expression
    if isinstance(expression, sp.Mul):
        parts = [a for a in expression.args if isinstance(a, sp.Add) and (everywhere or a.has(sp.KroneckerDelta))]
        if parts:
            return _product([sp.Mul(*(a for a in expression.args if a not in parts)), *parts])
    return expression


def _product(factors: list[sp.Expr]) -> sp.Expr:
    """The product of sums, term by term."""
    total = factors[0]
    for factor in factors[1:]:
        terms = []
        for left in sp.Add.make_args(total):
            budgets.check()
            terms += [left * right for right in sp.Add.make_args(factor)]
        total = sp.Add(*terms)
    return total


def _sum(body: sp.Expr, index: sp.Symbol, first: sp.Expr, last: sp.Expr, *, everywhere: bool) -> sp.Expr:
    body = _distribute(body, everywhere=everywhere)
    whole = not everywhere and not body.has(sp.KroneckerDelta)
    terms = (sp.factor_terms(body),) if whole else sp.Add.make_args(body)
    terms = tuple(map(_absorbed, terms)) if everywhere else terms
    return sp.Add(*(_sum_of_product(term, index, first, last, everywhere=everywhere) for term in terms))


def _absorbed(term: sp.Expr) -> sp.Expr:
    """A product in which roots of powers take up what they can: x²·(x²)^(-1/2) is (x²)^(1/2)."""
    for root in [factor for factor in _powers(term) if isinstance(factor.base, sp.Pow)]:
        base, exponent = root.base.args
        if exponent.is_Integer:
            whole = term.as_powers_dict()[base] // exponent
            term = term / root / base ** (whole * exponent) * sp.Pow(root.base, root.exp + whole)
    return term


def _sum_of_product(term: sp.Expr, index: sp.Symbol, first: sp.Expr, last: sp.Expr, *, everywhere: bool) -> sp.Expr:
    factors = sp.Mul.make_args(term)
    for factor in factors:
        if isinstance(factor, sp.KroneckerDelta) and index in factor.args:
            (other,) = set(factor.args) - {index}
            rest = sp.Mul(*(f for f in factors if f is not factor))
            return _rewrite(substitute(rest, {index: other}), everywhere=everywhere)
    outside = sp.Mul(*(f for f in factors if index not in _free(f)))
    inside = sp.Mul(*(f for f in factors if index in _free(f)))
    if inside == 1:
        return outside * (last - first + 1)
    if everywhere and index.name.rstrip("'") == INNERMOST:
        for inner in (f for f in sp.Mul.make_args(inside) if isinstance(f, sp.Sum)):
            ((other, *bounds),) = inner.limits
            if other.name.rstrip("'") != INNERMOST:
                own = sp.Dummy(other.name)  # what the rest may hold under the same name is another index
                body = inside / inner * substitute(inner.function, {other: own})
                exchanged = sp.Sum(body, (index, first, last), (own, *bounds))
                return _rewrite(outside * exchanged, everywhere=True)
    bound = _bound_index(index, inside)
    return outside * sp.Sum(substitute(inside, {index: bound}), (bound, first, last))


def _bound_index(index: sp.Symbol, inside: sp.Expr) -> sp.Symbol:
    """The canonical name of a bound index: its letter, with a prime more than the sums over that letter inside."""
    letter = index.name.rstrip("'")
    bound = [i.name for s in inside.atoms(sp.Sum) for i, *_ in s.limits if i.name.rstrip("'") == letter]
    return sp.Symbol(letter + "'" * (1 + max((name.count("'") for name in bound), default=0)))
