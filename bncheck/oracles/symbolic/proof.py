"""Proves, for symbolic sizes, that a layer's gradients in all their forms are the same; names the step that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import sympy as sp

from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.derivation import Derivation, total_over
from bncheck.oracles.symbolic.published import PUBLISHED
from bncheck.oracles.symbolic.sums import derivative
from bncheck.oracles.symbolic.symbols import EPS, gradient_symbol, replace_indexed
from bncheck.oracles.symbolic.vanishing import vanishes
from bncheck.outcomes import Outcome


@dataclass(frozen=True)
class ProofStep:
    """One equality that was put to the test, and what became of the claim that its sides are the same."""

    gradient: str
    claim: str
    outcome: Outcome

    @property
    def holds(self) -> bool:
        """Whether the difference of the sides is identically zero."""
        return self.outcome is Outcome.PROVED

    @property
    def words(self) -> str:
        """What became of it, in words that follow "proved:", "not proved:" or "not decided:"."""
        if self.outcome is Outcome.REFUTED:
            return f"{self.claim} fails for {self.gradient}"
        return f"{'' if self.holds else 'whether '}{self.claim} for {self.gradient}"


@dataclass(frozen=True)
class Proof:
    """The outcome for one layer: every step, in order."""

    layer: str
    steps: tuple[ProofStep, ...]

    @property
    def outcome(self) -> Outcome:
        """Proved where every step is, refuted where one is; else it is not decided."""
        return Outcome.of_all(step.outcome for step in self.steps)

    @property
    def proved(self) -> bool:
        """Whether every step holds."""
        return self.outcome is Outcome.PROVED

    @property
    def failure(self) -> ProofStep | None:
        """The first step that is refuted, where to look for the mistake, or else the first that is not decided."""
        return next((step for step in self.steps if step.outcome is self.outcome), None) if not self.proved else None


def prove(derivation: Derivation) -> Proof:
    """Tests each chain-rule equation against differentiation, the literature where it is known, and the closed form.

    What is not decided when `budgets.PROOF` is spent is left so.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> prove(derive(LAYERS["batch_norm"])).proved
    True
    """
    budget = budgets.Budget(budgets.PROOF)
    steps = []
    for gradient, claim, decide in _claims(derivation):
        with budget.running():
            try:
                outcome = decide()
            except budgets.Spent:
                outcome = Outcome.UNDECIDED
        steps.append(ProofStep(gradient, claim, outcome))
    return Proof(derivation.layer.name, tuple(steps))


def _claims(derivation: Derivation) -> Iterator[tuple[str, str, Callable[[], Outcome]]]:
    """Each claim: the gradient that it is about, its words, and what decides it."""
    published = _published(derivation)
    for gradient, equation in derivation.chain_rule.items():
        if gradient in published:
            # without the steps: a paper's equation is to be the same one, not another of the same value
            difference = equation - published[gradient]
            yield gradient, "chain rule = literature", partial(vanishes, difference, {}, {})
        yield gradient, "chain rule = derivative", partial(_chained, derivation, gradient)
    for gradient in derivation.closed:
        yield gradient, "closed form = derivative", partial(_folded, derivation, gradient)


def _chained(derivation: Derivation, gradient: str) -> Outcome:
    """Whether an equation, with the gradients of all later steps written out, is the derivative of the loss."""
    name, names = gradient.removeprefix("d"), list(derivation.steps)
    chained = derivation.chain_rule[gradient]
    for later in names[names.index(name) + 1 :] if name in names else names:
        if f"d{later}" in derivation.chain_rule:
            symbol = gradient_symbol(derivation.symbol(later))
            chained = replace_indexed(chained, symbol, derivation.chain_rule[f"d{later}"])
    if name not in names:
        return derivation.vanishes(derivation.in_inputs(chained) - derivation.direct[gradient])
    # the steps after it are written out, and those before it are held
    loss = _write_out(derivation, derivation.loss, after=name)
    differentiated = derivative(loss, derivation.steps[name].symbol)
    return derivation.vanishes(_write_out(derivation, chained, after=name) - differentiated)


def _folded(derivation: Derivation, name: str) -> Outcome:
    """Whether what a fast backward pass computes is the derivative of the loss; of a jvp, ẏ is what is folded."""
    plain = derivation.direct.get(name, derivation.steps["y"].expression)
    return derivation.vanishes(derivation.in_inputs(derivation.closed[name]) - derivation.in_inputs(plain))


def _write_out(derivation: Derivation, expression: sp.Expr, *, after: str) -> sp.Expr:
    names = list(derivation.steps)
    for later in reversed(names[names.index(after) + 1 :]):
        step = derivation.steps[later]
        expression = replace_indexed(expression, step.symbol, step.expression)
    return expression


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
    try:
        return equations(SimpleNamespace(**symbols, **gradients, eps=EPS), total, shared, count)
    except AttributeError:  # a definition of the same name, with other steps
        return {}
