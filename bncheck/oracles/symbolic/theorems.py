"""What follows from a layer's definition for every size and every value, put to the proof.

A theorem that a definition has no room for, a shift where nothing is centred, is left out; one that does not hold says
so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from bncheck.oracles.symbolic.derivation import EPS, Derivation, gradient_symbol, replace_indexed, total_over
from bncheck.oracles.symbolic.sums import is_zero, normal


@dataclass(frozen=True)
class Theorem:
    """A statement about a layer, its meaning in words, and whether it holds for every size."""

    name: str
    statement: str
    words: str
    holds: bool


def theorems(derivation: Derivation) -> tuple[Theorem, ...]:
    """The theorems that can be stated about a layer, each proved or refuted.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> [theorem.name for theorem in theorems(derive(LAYERS["batch_norm"])) if theorem.holds]
    ['gradient-sum', 'gradient-projection', 'shift', 'scale', 'identity']
    """
    return tuple(_theorems(derivation))


def _theorems(derivation: Derivation) -> Iterator[Theorem]:
    steps, inputs = derivation.steps, derivation.inputs
    x, dx = inputs["x"], derivation.direct["dx"]
    y = derivation.in_inputs(steps["y"].expression)
    total, _ = total_over(derivation, "ik")
    if "mean" in steps:
        words = "the gradients of a group cancel: a shift of the whole group changes nothing"
        yield Theorem("gradient-sum", "Σ ∂ℓ/∂x = 0", words, is_zero(total(dx)))
    spread = next((steps[name] for name in ("var", "mean_square") if name in steps), None)
    if "xhat" in steps and spread is not None:
        xhat = derivation.in_inputs(steps["xhat"].expression)
        dy = gradient_symbol(steps["y"].symbol)
        square = derivation.in_inputs(spread.expression) + EPS
        left = total(xhat * dx)
        right = EPS * square ** sp.Rational(-3, 2) * total(xhat * dy * inputs.get("gamma", sp.S.One))
        words = "along x̂ only ε's share is left: as ε → 0, scaling changes nothing"
        sign = "σ²" if spread is steps.get("var") else "ρ"
        statement = f"Σ x̂·∂ℓ/∂x = ε/({sign} + ε)^(3/2) · Σ x̂·γ·∂ℓ/∂y"
        yield Theorem("gradient-projection", statement, words, is_zero(left - right))
    if "mean" in steps:
        shift = sp.IndexedBase("b")[steps["mean"].symbol.indices]
        words = "a bias before the layer is redundant, and its gradient is 0"
        yield Theorem("shift", "y(x + b) = y(x)", words, is_zero(replace_indexed(y, x, x + shift) - y))
    if "xhat" in steps:
        scale = sp.Symbol("a", positive=True)
        scaled = _without_scale(replace_indexed(y, x, scale * x).xreplace({EPS: scale**2 * EPS}), scale)
        words = "a times the weights give the same output, and 1/a of the gradient"
        yield Theorem("scale", "y(a·x; a²·ε) = y(x; ε) for a > 0", words, is_zero(scaled - y))
    undoable = {"gamma", "beta"} <= set(inputs) and {"mean", "var"} <= set(steps)
    if undoable and inputs["gamma"].indices == steps["var"].symbol.indices:
        root = sp.sqrt(steps["var"].symbol + EPS)
        restored = steps["y"].expression.xreplace({inputs["gamma"]: root, inputs["beta"]: steps["mean"].symbol})
        words = "the layer can undo itself: nothing that could be represented is lost"
        holds = is_zero(derivation.in_inputs(restored) - x)
        yield Theorem("identity", "γ = √(σ² + ε), β = μ  ⇒  y = x", words, holds)


def _without_scale(expression: sp.Expr, scale: sp.Symbol) -> sp.Expr:
    """Takes the scale out of the roots: (a²σ² + a²ε)^p is a^(2p)·(σ² + ε)^p."""

    def taken_out(power: sp.Pow) -> sp.Expr:
        inner = normal(power.base / scale**2)
        return power if inner.has(scale) else scale ** (2 * power.exp) * inner**power.exp

    return expression.replace(lambda e: isinstance(e, sp.Pow) and isinstance(e.base, sp.Add), taken_out)
