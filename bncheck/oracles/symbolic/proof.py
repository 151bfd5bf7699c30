"""Proves, for symbolic sizes, that a layer's gradients in all their forms are the same; names the step that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import sympy as sp

from bncheck.oracles.symbolic.derivation import ALONE, EPS, Derivation, gradient_symbol, replace_indexed, total_over
from bncheck.oracles.symbolic.published import PUBLISHED
from bncheck.oracles.symbolic.refutation import refuted
from bncheck.oracles.symbolic.sums import derivative, is_zero, normal


@dataclass(frozen=True)
class ProofStep:
    """One equality that was put to the test, and whether the difference of its sides is identically zero."""

    gradient: str
    claim: str
    holds: bool


@dataclass(frozen=True)
class Proof:
    """The outcome for one layer: every step, in order."""

    layer: str
    steps: tuple[ProofStep, ...]

    @property
    def proved(self) -> bool:
        """Whether every step holds."""
        return all(step.holds for step in self.steps)

    @property
    def failure(self) -> ProofStep | None:
        """The first step that does not hold: where to look for the mistake."""
        return next((step for step in self.steps if not step.holds), None)


def prove(derivation: Derivation) -> Proof:
    """Tests each chain-rule equation against differentiation, the literature where it is known, and the closed form.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> prove(derive(LAYERS["batch_norm"])).proved
    True
    """
    return Proof(derivation.layer.name, tuple(_steps(derivation)))


def _steps(derivation: Derivation) -> Iterator[ProofStep]:
    published = _published(derivation)
    solved: dict[str, sp.Expr] = {}
    for gradient, equation in derivation.chain_rule.items():
        name = gradient.removeprefix("d")
        if gradient in published:
            yield ProofStep(gradient, "chain rule = literature", is_zero(equation - published[gradient]))
        chained = equation
        for later, solution in solved.items():
            chained = replace_indexed(chained, gradient_symbol(derivation.symbol(later)), solution)
        if name in derivation.steps:
            solved = {name: chained, **solved}
            difference = _write_out(derivation, chained, after=name) - _derivative_at(derivation, name)
            yield ProofStep(gradient, "chain rule = derivative", vanishes(derivation, difference))
        else:
            difference = derivation.in_inputs(chained) - derivation.direct[gradient]
            yield ProofStep(gradient, "chain rule = derivative", vanishes(derivation, difference))
    for name, closed in derivation.closed.items():
        plain = derivation.direct.get(name, derivation.steps["y"].expression)
        difference = derivation.in_inputs(closed) - derivation.in_inputs(plain)
        yield ProofStep(name, "closed form = derivative", vanishes(derivation, difference))


def _derivative_at(derivation: Derivation, name: str) -> sp.Expr:
    """The derivative of the loss with respect to a step, the steps after it written out and those before it held."""
    loss = _write_out(derivation, derivation.loss, after=name)
    return derivative(loss, derivation.steps[name].symbol)


def _write_out(derivation: Derivation, expression: sp.Expr, *, after: str) -> sp.Expr:
    names = list(derivation.steps)
    for later in reversed(names[names.index(after) + 1 :]):
        step = derivation.steps[later]
        expression = replace_indexed(expression, step.symbol, step.expression)
    return expression


def vanishes(derivation: Derivation, expression: sp.Expr) -> bool:
    """Whether an expression of a layer's inputs is zero for every size and every value.

    An input whose mean is a named step is written as that mean and a deviation whose sum is zero: a change of variables
    that loses nothing, after which variances are short.
    """
    if refuted(expression):
        return False
    for centring in _centrings(derivation):
        expression = centring.changed(expression)
    expression = normal(expression)
    for centring in _centrings(derivation):
        expression = expression.replace(centring.is_sum_of_deviations, lambda _: sp.S.Zero)
    return is_zero(expression)


@dataclass(frozen=True)
class _Centring:
    """An input, the step that is its mean, and the places of the input's indices over which the mean is taken."""

    symbol: sp.Indexed
    mean: sp.Indexed
    size: sp.Expr
    reduced: frozenset[int]

    @property
    def deviation(self) -> sp.IndexedBase:
        return sp.IndexedBase(f"deviation of {self.symbol.base.label}")

    def mean_at(self, indices: tuple[sp.Expr, ...]) -> sp.Indexed:
        return self.mean.base[tuple(s for k, s in enumerate(indices) if k not in self.reduced) or (ALONE,)]

    def changed(self, expression: sp.Expr) -> sp.Expr:
        """The expression in the mean and the deviations."""
        expression = expression.replace(
            lambda e: self._is_sum_of(self.symbol.base, e), lambda e: self.size * self.mean_at(_summed(e)[0].indices)
        )
        elements = [s for s in expression.atoms(sp.Indexed) if s.base == self.symbol.base]
        return expression.xreplace({s: self.mean_at(s.indices) + self.deviation[s.indices] for s in elements})

    def is_sum_of_deviations(self, expression: sp.Expr) -> bool:
        """Whether an expression is a sum of deviations over a whole group, which is zero."""
        return self._is_sum_of(self.deviation, expression)

    def _is_sum_of(self, base: sp.IndexedBase, expression: sp.Expr) -> bool:
        body, bound = _summed(expression)
        at_base = isinstance(body, sp.Indexed) and body.base == base
        return at_base and bool(bound) and bound == {body.indices[k] for k in self.reduced}


def _centrings(derivation: Derivation) -> Iterator[_Centring]:
    for step in derivation.steps.values():
        factor, rest = step.expression.as_independent(sp.Sum, as_Add=False)
        body, bound = _summed(rest)
        inputs = [s for s in derivation.inputs.values() if isinstance(body, sp.Indexed) and s.base == body.base]
        if bound and inputs:
            reduced = frozenset(k for k, index in enumerate(body.indices) if index in bound)
            yield _Centring(inputs[0], step.symbol, 1 / factor, reduced)


def _summed(expression: sp.Expr) -> tuple[sp.Expr, frozenset[sp.Symbol]]:
    """What is summed in sums within sums, and over which indices."""
    bound: frozenset[sp.Symbol] = frozenset()
    while isinstance(expression, sp.Sum):
        bound |= {index for index, *_ in expression.limits}
        expression = expression.function
    return expression, bound


def _published(derivation: Derivation) -> dict[str, sp.Expr]:
    """The literature's equations for this layer, where its form has every parameter."""
    equations = PUBLISHED.get(getattr(derivation.layer.definition, "__name__", ""))
    if (
        equations is None
        or set(derivation.layer.parameters) - set(derivation.inputs)
        or len(derivation.layer.outputs) > 1
    ):
        return {}
    symbols = {name: derivation.symbol(name) for name in (*derivation.inputs, *derivation.steps)}
    gradients = {f"d{name}": gradient_symbol(symbol) for name, symbol in symbols.items()}
    total, count = total_over(derivation, "ik")
    shared, _ = total_over(derivation, "ni")
    return equations(SimpleNamespace(**symbols, **gradients, eps=EPS), total, shared, count)
