"""The symbols of a derivation: indices and sizes, named values, and the gradients with respect to them.

A definition may name its steps as it likes: a gradient is told from a value by its kind, never by its name, so that
the gradient of var and a step that somebody calls dvar are two symbols. What else bncheck makes up bears a name that is
no identifier, which no step can have.
"""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from bncheck.oracles.symbolic.sums import INNERMOST, over, substitute

EPS = sp.Symbol("eps")
ROLES = "nick"
"""The letters of the indices, one for each role that an axis can play."""

SIZES = {letter: sp.Symbol(size) for letter, size in zip(ROLES, "NmCK", strict=True)}
FEATURE, FEATURES = sp.Symbol(INNERMOST), sp.Symbol("F")
"""The index over which weights W and inputs u are contracted, x = Σ_f W·u, and how many values it takes."""
ALONE = sp.Symbol("·")
"""The index of what is one number for the whole of x: a statistic over everything, a γ that all share."""


class GradientBase(sp.IndexedBase):  # type: ignore[misc]  # SymPy ships no types
    """The gradient of the loss with respect to a named value; it equals no value, not even one of the same name."""

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """Gradients are put in order among the values, by their names."""
        key: tuple[int, int, str] = sp.IndexedBase.class_key()
        return key


def index(letter: str) -> sp.Symbol:
    """The free index of a role."""
    return sp.Symbol(letter)


def indexed(name: str, letters: Iterable[str]) -> sp.Indexed:
    """The symbol of a value that varies along these indices."""
    return sp.IndexedBase(name)[tuple(index(letter) for letter in letters) or (ALONE,)]


def arbitrary(name: str, indices: Iterable[sp.Symbol]) -> sp.Indexed:
    """The symbol of any array whatever, which a theorem speaks of and no definition can name."""
    return sp.IndexedBase(f"any {name}")[tuple(indices)]


def gradient_symbol(symbol: sp.Indexed) -> sp.Indexed:
    """The symbol of the loss's gradient with respect to an indexed symbol: dx for x."""
    return GradientBase(f"d{symbol.base.label}")[symbol.indices]


def upstream_symbol(symbol: sp.Indexed) -> sp.Indexed:
    """The symbol of the gradient that arrives at an output: dy for y, dmean_out for a mean that is handed back."""
    label = str(symbol.base.label)
    return gradient_symbol(symbol) if label == "y" else GradientBase(f"d{label}_out")[symbol.indices]


def is_gradient(symbol: sp.Indexed) -> bool:
    """Whether an indexed symbol is a gradient rather than a value."""
    return isinstance(symbol.base, GradientBase)


def has_gradient(expression: sp.Expr) -> bool:
    """Whether a gradient occurs in an expression."""
    return any(map(is_gradient, expression.atoms(sp.Indexed)))


def over_all(expression: sp.Expr, symbol: sp.Indexed) -> sp.Expr:
    """The sum of an expression over every index of `symbol`."""
    return over(expression, {i: SIZES[i.name] for i in symbol.indices if i != ALONE})


def replace_indexed(expression: sp.Expr, symbol: sp.Indexed, definition: sp.Expr) -> sp.Expr:
    """Writes `definition` for `symbol`, whatever indices it bears where it occurs."""
    replacements = {
        occurrence: substitute(definition, dict(zip(symbol.indices, occurrence.indices, strict=True)))
        for occurrence in expression.atoms(sp.Indexed)
        if occurrence.base == symbol.base
    }
    return expression.xreplace(replacements) if replacements else expression
