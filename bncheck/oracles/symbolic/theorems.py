"""What follows from a layer's definition for every size and every value.

A theorem is stated once, as an equation between named values of the layer, some of them primed: those of the same layer
at another input, such as a·x for x. With every name written out it is proved here; with every name computed it is
checked on numbers, by `bncheck.campaign.theorems`. A theorem that a definition has no room for, a shift where nothing
is centred, is left out; one that does not hold says so.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import sympy as sp

from bncheck.case import X_TANGENT
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.derivation import Derivation, abstract, derive, total_over
from bncheck.oracles.symbolic.sums import derivative, normal, over
from bncheck.oracles.symbolic.symbols import (
    ALONE,
    EPS,
    FEATURE,
    FEATURES,
    SIZES,
    GradientBase,
    arbitrary,
    gradient_symbol,
    replace_indexed,
)
from bncheck.outcomes import Outcome
from bncheck.tangents import SUFFIX, tangent_of

PRIME, TWICE = "′", "″"
OWN = "°"
"""Marks a gradient of the layer of which this one is the jvp."""
SCALE = sp.Symbol("a", positive=True)
_SIGNS = {"var": "σ²", "mean_square": "ρ"}


@dataclass(frozen=True, eq=False)
class Claim:
    """What a theorem says about a layer, its meaning in words, and the time that its proof may take."""

    derivation: Derivation
    name: str
    statement: str
    words: str
    budget: budgets.Budget = field(default_factory=lambda: budgets.Budget(budgets.THEOREMS), kw_only=True, repr=False)

    @cached_property
    def outcome(self) -> Outcome:
        """Whether it holds for every size and every value; not decided where the budget is spent before."""
        with self.budget.running():
            try:
                return self._decided()
            except budgets.Spent:
                return Outcome.UNDECIDED

    @property
    def holds(self) -> bool:
        """Whether it is proved."""
        return self.outcome is Outcome.PROVED

    @abstractmethod
    def _decided(self) -> Outcome:
        """Whether it holds."""


@dataclass(frozen=True, eq=False)
class Theorem(Claim):
    """A statement that two expressions are equal.

    A name with a prime is a value of the layer at the `changed` inputs, each given by its name and what stands there,
    one with two primes at those `changed_otherwise`; one with a ring is a gradient of the layer whose jvp this one is.
    """

    left: sp.Expr
    right: sp.Expr
    changed: Mapping[str, sp.Expr] = field(default_factory=dict)
    changed_otherwise: Mapping[str, sp.Expr] = field(default_factory=dict)

    @property
    def changes(self) -> Mapping[str, Mapping[str, sp.Expr]]:
        """What stands in place of which input, by the mark that a name bears."""
        return {PRIME: self.changed, TWICE: self.changed_otherwise}

    def _decided(self) -> Outcome:
        """Whether both sides are equal for every size and every value."""
        return self.derivation.vanishes(_without_scale(self._written_out(self.left - self.right)))

    @cached_property
    def own(self) -> Derivation | None:
        """The derivation of the layer of which this one is the jvp, with the same parameters."""
        return own_of(self.derivation)

    def _written_out(self, expression: sp.Expr) -> sp.Expr:
        """The expression with every gradient and every step written in the inputs."""
        for base in sorted({symbol.base for symbol in expression.atoms(sp.Indexed)}, key=sp.default_sort_key):
            label = str(base.label)
            derivation = self.own if label.endswith(OWN) and self.own else self.derivation
            name = label.rstrip(PRIME + TWICE + OWN)
            if isinstance(base, GradientBase) and name in derivation.direct:
                at, definition = derivation.symbol(name.removeprefix("d")), derivation.direct[name]
            elif not isinstance(base, GradientBase) and name in derivation.steps:
                at = derivation.symbol(name)
                definition = derivation.in_inputs(at)
            else:
                continue
            for changed, stands in self.changes.get(label[-1], {}).items():
                definition = _changed(derivation, definition, changed, derivation.in_inputs(stands))
            expression = replace_indexed(expression, base[at.indices], definition)
        return expression


def own_of(derivation: Derivation) -> Derivation | None:
    """The derivation of the layer of which this one is the jvp, with the same parameters."""
    layer, inputs = derivation.layer.primal, derivation.inputs
    if layer is None:
        return None
    present = tuple(name for name in layer.parameters if name in inputs or tangent_of(name) in inputs)
    return derive(layer, abstract(derivation.roles), present)


def _changed(derivation: Derivation, expression: sp.Expr, name: str, stands: sp.Expr) -> sp.Expr:
    if name == "eps":
        return expression.xreplace({EPS: stands})
    return replace_indexed(expression, derivation.inputs[name], stands)


def _without_scale(expression: sp.Expr) -> sp.Expr:
    """Takes the scale a out of the roots: (a²σ² + ε)^p is a^(2p)·(σ² + ε/a²)^p."""

    def taken_out(power: sp.Pow) -> sp.Expr:
        base = normal(power.base)
        highest = max(term.as_coeff_exponent(SCALE)[1] for term in sp.Add.make_args(base))
        return SCALE ** (highest * power.exp) * normal(base / SCALE**highest) ** power.exp

    scaled = expression.replace(
        lambda e: isinstance(e, sp.Pow) and isinstance(e.base, sp.Add) and e.has(SCALE), taken_out
    )
    return sp.sympify(scaled)


@dataclass(frozen=True, eq=False)
class Coincidence(Claim):
    """The statement that a layer is another one where the axes that one index runs over have a single value."""

    other: Layer
    letter: str

    def _decided(self) -> Outcome:
        """Whether y and dx are the same for every size and every value."""
        derivation = self.derivation
        remaining = {letter: axes for letter, axes in derivation.roles.items() if letter != self.letter}
        other = derive(self.other, abstract(remaining), tuple(name for name in derivation.inputs if name != "x"))
        pairs = [(d.in_inputs(d.steps["y"].symbol), d.direct["dx"]) for d in (derivation, other)]
        return Outcome.of_all(other.vanishes(self._collapsed(a) - b) for a, b in zip(*pairs, strict=True))

    def _collapsed(self, expression: sp.Expr) -> sp.Expr:
        """The expression where the index takes one value: it falls away."""
        if isinstance(expression, sp.Sum):
            body = self._collapsed(expression.function)
            limits = [limit for limit in expression.limits if limit[0].name.rstrip("'") != self.letter]
            return sp.Sum(body, *limits) if limits else body
        if isinstance(expression, sp.Indexed):
            return expression.base[
                tuple(i for i in expression.indices if i.name.rstrip("'") != self.letter) or (ALONE,)
            ]
        if not expression.args:
            return sp.S.One if expression == SIZES[self.letter] else expression
        return expression.func(*map(self._collapsed, expression.args))


_COINCIDENCES = {
    "instance_norm": [("one-channel", "c", "layer_norm", "with one channel, layer norm of each sample")],
    "group_norm": [
        ("one-group", "c", "layer_norm", "with one group, layer norm over C, H, W"),
        ("one-channel-groups", "k", "instance_norm", "with as many groups as channels, instance norm"),
    ],
}
"""Layer → name, the index that takes one value, the other layer, and in words."""


def theorems(derivation: Derivation) -> tuple[Theorem | Coincidence, ...]:
    """The theorems that can be stated about a layer; they share the time that their proofs may take.

    >>> from bncheck.layers import LAYERS
    >>> [theorem.name for theorem in theorems(derive(LAYERS["batch_norm_jvp"])) if theorem.holds]
    ['adjoint', 'transpose', 'null-shift', 'null-scale', 'hessian']
    """
    budget = budgets.Budget(budgets.THEOREMS)
    return tuple(replace(theorem, budget=budget) for theorem in _stated(derivation))


def _stated(derivation: Derivation) -> Iterator[Theorem | Coincidence]:
    layer = derivation.layer
    if len(layer.outputs) > 1 or layer.settings:
        return  # the same layer with more to return: nothing new follows
    if X_TANGENT in derivation.inputs:
        yield from _of_a_jvp(derivation)
        return
    yield from _of_a_layer(derivation)
    coincidences = _COINCIDENCES.get(layer.name, []) if LAYERS.get(layer.name) == layer else []
    for name, letter, other, text in coincidences:
        if letter in derivation.roles and set(derivation.roles) & set("ik") - {letter}:
            words = "both reduce the same groups"
            yield Coincidence(derivation, name, text, words, LAYERS[other], letter)


def _of_a_layer(derivation: Derivation) -> Iterator[Theorem]:
    steps, inputs = derivation.steps, derivation.inputs
    x, y = inputs["x"], steps["y"].symbol
    dx, dy = gradient_symbol(x), gradient_symbol(y)
    total, _ = total_over(derivation, "ik")
    if "mean" in steps:
        words = "the gradients of a group cancel"
        yield Theorem(derivation, "gradient-sum", "Σ ∂ℓ/∂x = 0", words, total(dx), sp.S.Zero)
    spread = next((n for n in _SIGNS if n in steps), None)
    if spread is not None and "xhat" in steps:
        square, xhat = steps[spread].symbol + EPS, steps["xhat"].symbol
        sign, gamma = _SIGNS[spread], _slope(derivation)
        words = "along x̂ only ε's share is left: as ε → 0, scaling changes nothing"
        left, right = total(xhat * dx), EPS * square ** sp.Rational(-3, 2) * total(xhat * dy * gamma)
        statement = f"Σ x̂·∂ℓ/∂x = ε/({sign} + ε)^(3/2) · Σ x̂·γ·∂ℓ/∂y"
        yield Theorem(derivation, "gradient-projection", statement, words, left, right)
    if "mean" in steps:
        shifted = {"x": x + arbitrary("b", steps["mean"].symbol.indices)}
        words = "a bias b before the layer is redundant; its gradient, Σ ∂ℓ/∂x, is 0"
        yield Theorem(derivation, "shift", "y(Wu + b) = y(Wu)", words, _primed(y), y, shifted)
    if spread is not None and "xhat" in steps:
        yield from _scaled(derivation, steps[spread].symbol, _SIGNS[spread])
        yield _orthogonal(derivation, steps[spread].symbol, _SIGNS[spread])
    undoable = {"gamma", "beta"} <= set(inputs) and {"mean", "var"} <= set(steps)
    if undoable and inputs["gamma"].indices == steps["var"].symbol.indices:
        undone = {"gamma": sp.sqrt(steps["var"].symbol + EPS), "beta": steps["mean"].symbol}
        words = "the layer can undo itself: nothing that could be represented is lost"
        statement = "γ = √(σ² + ε), β = μ  ⇒  y = x"
        yield Theorem(derivation, "identity", statement, words, _primed(y), x, undone)


def _slope(derivation: Derivation) -> sp.Expr:
    """What y multiplies x̂ by: γ, whatever a definition calls it."""
    y, xhat = derivation.steps["y"].expression, derivation.steps["xhat"].symbol
    slope = derivative(y, xhat)
    return derivation.inputs.get("gamma", sp.S.One) if slope.has(xhat.base) else slope


def _scaled(derivation: Derivation, square: sp.Indexed, sign: str) -> Iterator[Theorem]:
    """What weights a times as large do, x = Wu being a times as large: with ε so as well, and with ε as it is."""
    x, y, xhat = derivation.inputs["x"], derivation.steps["y"].symbol, derivation.steps["xhat"].symbol
    dx, dy = gradient_symbol(x), gradient_symbol(y)
    gamma = _slope(derivation)
    total, count = total_over(derivation, "ik")
    over_units, _ = total_over(derivation, "ck")
    over_samples, _ = total_over(derivation, "ni")
    weights, before = _weights_and_inputs(x)
    both = {"x": SCALE * x, "eps": SCALE**2 * EPS}
    at = "(aWu; a²ε)"
    words = "a times the weights give the same output, as ε → 0 with the same ε"
    yield Theorem(derivation, "scale", f"y{at} = y(Wu; ε) for a > 0", words, _primed(y), y, both)
    words = "what comes before the layer learns the same"
    left, right = over_units(SCALE * weights * _primed(dx)), over_units(weights * dx)
    yield Theorem(derivation, "scale-inputs", f"∂ℓ/∂u{at} = ∂ℓ/∂u(Wu; ε)", words, left, right, both)
    words = "weights a times as large get a gradient 1/a as large"
    left, right = over_samples(before * _primed(dx)), over_samples(before * dx) / SCALE
    statement = f"∂ℓ/∂(aW){at} = 1/a · ∂ℓ/∂W(Wu; ε)"
    yield Theorem(derivation, "scale-weights", statement, words, left, right, both)
    factor = sp.sqrt(square + EPS) / sp.sqrt(square + EPS / SCALE**2)
    alone = {"x": SCALE * x}
    words = f"the exact factor for finite ε: f = √(({sign} + ε)/({sign} + ε/a²)) → 1 as ε → 0"
    yield Theorem(derivation, "scale-factor", "x̂(aWu) = f · x̂(Wu)", words, _primed(xhat), factor * xhat, alone)
    words = "the same f: what ε takes from the path through the variance"
    correction = (1 - factor**2) * xhat * total(gamma * dy * xhat) / (count * sp.sqrt(square + EPS))
    statement = f"∂ℓ/∂x(ax) = f/a · (∂ℓ/∂x + (1 − f²)/√({sign} + ε) · x̂ · mean(x̂·γ·∂ℓ/∂y))"
    right = factor / SCALE * (dx + correction)
    yield Theorem(derivation, "scale-gradient", statement, words, _primed(dx), right, alone)


def _orthogonal(derivation: Derivation, square: sp.Indexed, sign: str) -> Theorem:
    """What a gradient step does to the length of the weights, by what each group adds to their gradient.

    Arora, Li and Lyu, "Theoretical Analysis of Auto Rate-Tuning by Batch Normalization", 2019, where ε is zero.
    """
    x, y, xhat = derivation.inputs["x"], derivation.steps["y"].symbol, derivation.steps["xhat"].symbol
    weights, before = _weights_and_inputs(x)
    features = {FEATURE: FEATURES}
    units, samples, total = (total_over(derivation, roles)[0] for roles in ("k", "i", "ik"))
    gradient = samples(before * _primed(gradient_symbol(x)))
    share = EPS / (_primed(square) + EPS)
    left = units(over(weights * gradient, features))
    right = share * total(_primed(xhat) * _slope(derivation) * gradient_symbol(y))
    words = "orthogonal as ε → 0, group by group: a step can only make |W| larger"
    statement = f"x = Wu  ⇒  ⟨W, ∂ℓ/∂W⟩ = ε/({sign} + ε) · Σ x̂·γ·∂ℓ/∂y"
    through = {"x": over(weights * before, features)}
    return Theorem(derivation, "weights-orthogonal", statement, words, left, right, through)


def _weights_and_inputs(x: sp.Indexed) -> tuple[sp.Indexed, sp.Indexed]:
    """Weights W, a row for each unit, and inputs u, one for each sample, whose product Wu is as large as x."""
    units = tuple(index for index in x.indices if index.name in "ck")
    samples = tuple(index for index in x.indices if index.name in "ni")
    return arbitrary("W", (*units, FEATURE)), arbitrary("u", (*samples, FEATURE))


def _of_a_jvp(derivation: Derivation) -> Iterator[Theorem]:
    steps, inputs = derivation.steps, derivation.inputs
    y, v, total = steps["y"].symbol, inputs[X_TANGENT], total_over(derivation, "ik")[0]
    dx, dy = gradient_symbol(inputs["x"]), gradient_symbol(y)
    only_x = {name: sp.S.Zero for name in inputs if name.endswith(SUFFIX) and name != X_TANGENT}
    words = "forward and reverse mode are each other's transpose"
    statement = "⟨∂ℓ/∂y, J·v⟩ = ⟨Jᵀ·∂ℓ/∂y, v⟩"
    left, right = total(dy * _primed(y)), total(gradient_symbol(v) * v)
    yield Theorem(derivation, "adjoint", statement, words, left, right, only_x)
    words = "the gradient of J·v with respect to v is the layer's own gradient"
    statement = "∂⟨∂ℓ/∂y, J·v⟩/∂v = ∂ℓ/∂x"
    yield Theorem(derivation, "transpose", statement, words, gradient_symbol(v), _primed(dx, OWN))
    if "mean" in steps:
        level = {**only_x, X_TANGENT: arbitrary("b", steps["mean"].symbol.indices)}
        words = "a shift of a whole group is a null direction of the Jacobian"
        yield Theorem(
            derivation, "null-shift", "J·b = 0 for b constant in a group", words, _primed(y), sp.S.Zero, level
        )
    spread = next((n for n in _SIGNS if n in steps), None)
    if spread is not None and "xhat" in steps:
        xhat, square = steps["xhat"].symbol, steps[spread].symbol + EPS
        share = _slope(own_of(derivation) or derivation) * EPS * square ** sp.Rational(-3, 2) * xhat
        words = "x̂ becomes a null direction as ε → 0"
        statement = f"J·x̂ = γ·ε/({_SIGNS[spread]} + ε)^(3/2) · x̂"
        yield Theorem(derivation, "null-scale", statement, words, _primed(y), share, {**only_x, X_TANGENT: xhat})
    other = arbitrary("w", v.indices)
    words = "second derivatives commute: the Hessian H of ℓ in x is symmetric"
    left, right = total(other * _primed(dx)), total(v * _primed(dx, TWICE))
    otherwise = {**only_x, X_TANGENT: other}
    yield Theorem(derivation, "hessian", "⟨w, H·v⟩ = ⟨v, H·w⟩", words, left, right, only_x, otherwise)


def _primed(symbol: sp.Indexed, prime: str = PRIME) -> sp.Indexed:
    return symbol.base.func(f"{symbol.base.label}{prime}")[symbol.indices]
