"""Decides whether an expression of a layer's inputs is zero for every size and every value, or says that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.refutation import NowhereDefined, tried
from bncheck.oracles.symbolic.sums import is_zero, normal
from bncheck.oracles.symbolic.symbols import ALONE
from bncheck.outcomes import Outcome


@dataclass(frozen=True)
class Step:
    """A named value of the forward pass: ``symbol = expression`` in earlier steps and inputs."""

    symbol: sp.Indexed
    expression: sp.Expr


def vanishes(expression: sp.Expr, inputs: Mapping[str, sp.Indexed], steps: Mapping[str, Step]) -> Outcome:
    """Whether an expression of a layer's inputs and steps is zero for every size and every value.

    Refuted where numbers show another value; proved where the algebra finds zero and there are numbers at which the
    expression has a value at all; else not decided, as also where a budget is spent.

    An input whose mean is a step is written as that mean and a deviation whose sum is zero: a change of variables that
    loses nothing, after which variances are short.
    """
    try:
        if tried(expression) is Outcome.REFUTED:
            return Outcome.REFUTED
        centred = centrings(inputs, steps)
        for centring in centred:
            expression = centring.changed(expression)
        expression = normal(expression)
        for centring in centred:
            expression = centring.without_sums_of_deviations(expression)
        return Outcome.PROVED if is_zero(expression) else Outcome.UNDECIDED
    except (NowhereDefined, budgets.Spent):
        return Outcome.UNDECIDED


@dataclass(frozen=True)
class Centring:
    """An input, the step that is its mean, and the places of the input's indices over which the mean is taken."""

    symbol: sp.Indexed
    mean: sp.Indexed
    size: sp.Expr
    reduced: frozenset[int]

    @property
    def deviation(self) -> sp.IndexedBase:
        """What stands for the input minus its mean."""
        return sp.IndexedBase(f"deviation of {self.symbol.base.label}")

    def mean_at(self, indices: tuple[sp.Expr, ...]) -> sp.Indexed:
        """The mean of the group in which the input has these indices."""
        return self.mean.base[tuple(s for k, s in enumerate(indices) if k not in self.reduced) or (ALONE,)]

    def changed(self, expression: sp.Expr) -> sp.Expr:
        """The expression in the mean and the deviations."""
        expression = expression.replace(
            lambda e: self._is_sum_of(self.symbol.base, e), lambda e: self.size * self.mean_at(_summed(e)[0].indices)
        )
        elements = [s for s in expression.atoms(sp.Indexed) if s.base == self.symbol.base]
        return expression.xreplace({s: self.mean_at(s.indices) + self.deviation[s.indices] for s in elements})

    def without_sums_of_deviations(self, expression: sp.Expr) -> sp.Expr:
        """The expression in its normal form, where the deviations of a whole group add up to zero."""
        return expression.replace(lambda e: self._is_sum_of(self.deviation, e), lambda _: sp.S.Zero)

    def written_back(self, expression: sp.Expr) -> sp.Expr:
        """The expression in the input again, each deviation as the input minus its mean."""
        elements = [s for s in expression.atoms(sp.Indexed) if s.base == self.deviation]
        return expression.xreplace({s: self.difference(s.indices) for s in elements})

    def difference(self, indices: tuple[sp.Expr, ...]) -> sp.Expr:
        """The input minus its mean."""
        return self.symbol.base[indices] - self.mean_at(indices)

    def _is_sum_of(self, base: sp.IndexedBase, expression: sp.Expr) -> bool:
        body, bound = _summed(expression)
        at_base = isinstance(body, sp.Indexed) and body.base == base
        return at_base and bool(bound) and bound.keys() == {body.indices[k] for k in self.reduced}


def centrings(inputs: Mapping[str, sp.Indexed], steps: Mapping[str, Step]) -> list[Centring]:
    """For each input, the first step that is its mean: its sum times 1/size and nothing else."""
    centred: dict[sp.IndexedBase, Centring] = {}
    for step in steps.values():
        factor, rest = step.expression.as_independent(sp.Sum, as_Add=False)
        body, bound = _summed(rest)
        means = [s for s in inputs.values() if isinstance(body, sp.Indexed) and s.base == body.base]
        size = sp.prod(bound.values())
        if bound and means and factor * size == 1 and body.base not in centred:
            reduced = frozenset(k for k, index in enumerate(body.indices) if index in bound)
            centred[body.base] = Centring(means[0], step.symbol, size, reduced)
    return list(centred.values())


def _summed(expression: sp.Expr) -> tuple[sp.Expr, dict[sp.Symbol, sp.Expr]]:
    """What is summed in sums within sums, and over which indices, each with its size."""
    bound: dict[sp.Symbol, sp.Expr] = {}
    while isinstance(expression, sp.Sum):
        bound |= {index: size for index, _, size in expression.limits}
        expression = expression.function
    return expression, bound
