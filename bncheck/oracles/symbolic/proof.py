"""Proves, for symbolic sizes, that a layer's gradients in all their forms are the same; names the step that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import sympy as sp

from bncheck.oracles.symbolic.derivation import (
    EPS,
    Derivation,
    gradient_symbol,
    over_all,
    replace_indexed,
    total_over,
)
from bncheck.oracles.symbolic.published import PUBLISHED
from bncheck.oracles.symbolic.sums import derivative, is_zero


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

    >>> from bncheck.definitions import LAYERS
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
            yield ProofStep(gradient, "chain rule = derivative", is_zero(difference))
        else:
            difference = derivation.in_inputs(chained) - derivation.direct[gradient]
            yield ProofStep(gradient, "chain rule = derivative", is_zero(difference))
    for gradient, closed in derivation.closed.items():
        difference = derivation.in_inputs(closed) - derivation.direct[gradient]
        yield ProofStep(gradient, "closed form = derivative", is_zero(difference))


def _derivative_at(derivation: Derivation, name: str) -> sp.Expr:
    """The derivative of Σ dy·y with respect to a step, the steps after it written out and those before it held."""
    y = derivation.steps["y"]
    expression = _write_out(derivation, y.expression, after=name)
    return derivative(over_all(gradient_symbol(y.symbol) * expression, y.symbol), derivation.steps[name].symbol)


def _write_out(derivation: Derivation, expression: sp.Expr, *, after: str) -> sp.Expr:
    names = list(derivation.steps)
    for later in reversed(names[names.index(after) + 1 : -1]):
        step = derivation.steps[later]
        expression = replace_indexed(expression, step.symbol, step.expression)
    return expression


def _published(derivation: Derivation) -> dict[str, sp.Expr]:
    """The literature's equations for this layer, where its form has every parameter."""
    equations = PUBLISHED.get(getattr(derivation.layer.definition, "__name__", ""))
    if equations is None or set(derivation.layer.parameters) - set(derivation.inputs):
        return {}
    symbols = {name: derivation.symbol(name) for name in (*derivation.inputs, *derivation.steps)}
    gradients = {f"d{name}": gradient_symbol(symbol) for name, symbol in symbols.items()}
    total, count = total_over(derivation, "ik")
    shared, _ = total_over(derivation, "ni")
    return equations(SimpleNamespace(**symbols, **gradients, eps=EPS), total, shared, count)
