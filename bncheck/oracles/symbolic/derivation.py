"""Derives a layer's gradients from its definition, for symbolic sizes, in three forms.

One index per role an axis can play: i is averaged over, c carries its own γ and β, k does both, n neither. So one
derivation of batch norm speaks for every layout: i runs over N·H·W elements, or over N, or over N·L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import sympy as sp

from bncheck.case import Layout
from bncheck.definitions import Layer
from bncheck.errors import InvalidDefinition
from bncheck.oracles.symbolic.sums import derivative, is_zero, normal, over, substitute
from bncheck.trace import Node, trace

EPS = sp.Symbol("eps")
_ROLES = "nick"
SIZES = {letter: sp.Symbol(size) for letter, size in zip(_ROLES, "NmCK", strict=True)}
ALONE = sp.Symbol("o")
"""The index of what is one number for the whole of x: a statistic over everything, a γ that all share."""

Equations = Mapping[str, sp.Expr]
"""Gradient name → its right-hand side, at the indices of what it is the gradient of."""


@dataclass(frozen=True)
class Step:
    """A named value of the forward pass: ``symbol = expression`` in earlier steps and inputs."""

    symbol: sp.Indexed
    expression: sp.Expr


@dataclass(frozen=True)
class Derivation:
    """The gradients of one layer in three forms.

    `chain_rule` has one equation for every named step and every input, each in the gradients of later steps, as the
    paper lists them. `direct` differentiates the loss as one expression of the inputs. `closed` is what a fast backward
    pass computes, in x̂ and `saved`, the roots it keeps from the forward pass.
    """

    layer: Layer
    roles: Mapping[str, str]
    inputs: Mapping[str, sp.Indexed]
    steps: dict[str, Step]
    chain_rule: Equations
    direct: Equations
    closed: Equations
    saved: Mapping[str, sp.Expr]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The gradients asked for: dx and one for each parameter."""
        return tuple(f"d{name}" for name in self.inputs)

    def symbol(self, name: str) -> sp.Indexed:
        """The indexed symbol of an input, a step or a saved value."""
        if name in self.inputs:
            return self.inputs[name]
        if name in self.steps:
            return self.steps[name].symbol
        (owner,) = {step.symbol.indices for step in self.steps.values() if self.saved[name].has(step.symbol)}
        return sp.IndexedBase(name)[owner]

    def named_roots(self, expression: sp.Expr) -> sp.Expr:
        """The expression with the powers of statistics that `saved` names written by those names."""
        for name, root in self.saved.items():
            base, unit = root.args
            symbol = self.symbol(name)
            powers = {p: symbol ** (p.exp / unit) for p in expression.atoms(sp.Pow) if p.base == base}
            expression = expression.xreplace(powers)
        return expression

    def in_inputs(self, expression: sp.Expr) -> sp.Expr:
        """The expression with saved values and steps written out, down to x, the parameters, dy and eps."""
        definitions = {**self.saved, **{name: step.expression for name, step in self.steps.items() if name != "y"}}
        for name in [*self.saved, *reversed(self.steps)]:
            if name in definitions:
                expression = replace_indexed(expression, self.symbol(name), definitions[name])
        return expression


def roles(layout: Layout) -> dict[str, str]:
    """Which axes of the layout each index runs over.

    >>> roles(Layout("NCHW", reduced="NHW", affine="C"))
    {'i': 'NHW', 'c': 'C'}
    """
    played: dict[str, str] = {}
    for axis in layout.axes:
        letter = _ROLES[2 * (axis in layout.affine) + (axis in layout.reduced)]
        played[letter] = played.get(letter, "") + axis
    return {letter: played[letter] for letter in _ROLES if letter in played}


def index(letter: str) -> sp.Symbol:
    """The free index of a role."""
    return sp.Symbol(letter)


def over_all(expression: sp.Expr, symbol: sp.Indexed) -> sp.Expr:
    """The sum of an expression over every index of `symbol`."""
    return over(expression, {i: SIZES[i.name] for i in symbol.indices if i != ALONE})


def total_over(derivation: Derivation, roles: str) -> tuple[Callable[[sp.Expr], sp.Expr], sp.Expr]:
    """The sum over the indices of some roles, as a function of what is summed, and how many terms it has."""
    letters = [letter for letter in derivation.roles if letter in roles]
    summed = {index(letter): SIZES[letter] for letter in letters}
    return lambda body: over(body, summed), sp.prod(SIZES[letter] for letter in letters)


def replace_indexed(expression: sp.Expr, symbol: sp.Indexed, definition: sp.Expr) -> sp.Expr:
    """Writes `definition` for `symbol`, whatever indices it bears where it occurs."""
    found = {
        occurrence: substitute(definition, dict(zip(symbol.indices, occurrence.indices, strict=True)))
        for occurrence in expression.atoms(sp.Indexed)
        if occurrence.base == symbol.base
    }
    return expression.xreplace(found) if found else expression


@lru_cache(maxsize=64)
def derive(layer: Layer, layout: Layout | None = None, parameters: tuple[str, ...] | None = None) -> Derivation:
    """The gradients of `layer` for every size; layouts whose axes play the same roles share one derivation.

    Raises
        InvalidDefinition: the definition does something other than the elementary operations.
    """
    layout = layout or layer.layouts[0]
    played = roles(layout)
    if layout.axes != "".join(played):
        abstract = Layout(
            "".join(played),
            "".join(letter for letter in played if letter in "ik"),
            "".join(letter for letter in played if letter in "ck"),
        )
        shared = derive(layer, abstract, parameters)
        return Derivation(**{**shared.__dict__, "roles": MappingProxyType(played)})
    parameters = layer.parameters if parameters is None else parameters
    inputs, steps = _read(layer, layout, parameters)
    chain_rule = _chain_rule(inputs, steps)
    unfinished = Derivation(layer, MappingProxyType(played), inputs, steps, chain_rule, {}, {}, {})
    direct = _direct(unfinished)
    closed, saved = _closed(unfinished)
    if closed["dx"] == 0:
        raise InvalidDefinition(f"{layer.name} returns a y that x does not change, expected one that depends on x.")
    return Derivation(layer, MappingProxyType(played), inputs, steps, chain_rule, direct, closed, saved)


def _read(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> tuple[dict[str, sp.Indexed], dict[str, Step]]:
    """The inputs and named steps of the traced definition, as SymPy expressions."""
    graph = trace(layer, layout, parameters)
    names = {node: name for name, node in graph.named.items()}
    formulas: dict[Node, sp.Expr] = {}
    steps: dict[str, Step] = {}
    for node in graph.nodes:
        letters = [letter for letter in _ROLES if letter in node.axes]
        arguments = [formulas[argument] for argument in node.inputs]
        if node.operation == "input":
            formula = EPS if node.name == "eps" else _indexed(str(node.name), letters)
        elif node.operation == "constant":
            formula = sp.nsimplify(node.value, rational=True)
        elif node.operation == "mean":
            reduced = [a for a in node.inputs[0].axes if a not in node.axes]
            formula = over_all(arguments[0], _indexed("reduced", reduced)) if reduced else arguments[0]
            formula = formula / sp.prod(SIZES[a] for a in reduced)
        else:
            formula = _FORMULAS[node.operation](*arguments)
        if node in names:
            symbol = _indexed(names[node], letters)
            steps[names[node]] = Step(symbol, formula)
            formula = symbol
        formulas[node] = formula
    inputs = {name: formulas[node] for name, node in graph.inputs.items() if name != "eps"}
    if set(inputs) & set(steps):
        raise InvalidDefinition(f"{layer.name} returns an input under its own name, expected named results only.")
    return inputs, {name: steps[name] for name in graph.named}


_FORMULAS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda a: -a,
    "sqrt": sp.sqrt,
}


def _indexed(name: str, letters: list[str]) -> sp.Indexed:
    return sp.IndexedBase(name)[tuple(index(letter) for letter in letters) or (ALONE,)]


def gradient_symbol(symbol: sp.Indexed) -> sp.Indexed:
    """The symbol of the loss's gradient with respect to an indexed symbol: dx for x."""
    return sp.IndexedBase(f"d{symbol.base.label}")[symbol.indices]


def _chain_rule(inputs: Mapping[str, sp.Indexed], steps: dict[str, Step]) -> dict[str, sp.Expr]:
    """One equation for each named value: the gradients of its consumers times their derivatives."""
    equations: dict[str, sp.Expr] = {}
    targets = [step.symbol for name, step in reversed(steps.items()) if name != "y"] + list(inputs.values())
    for target in targets:
        loss = sum(
            over_all(gradient_symbol(step.symbol) * step.expression, step.symbol)
            for step in reversed(steps.values())
            if any(occurrence.base == target.base for occurrence in step.expression.atoms(sp.Indexed))
        )
        equations[f"d{target.base.label}"] = derivative(sp.sympify(loss), target)
    return equations


def _direct(derivation: Derivation) -> dict[str, sp.Expr]:
    """The derivative of Σ dy·y, with every step written out before differentiating."""
    y = derivation.steps["y"]
    loss = over_all(gradient_symbol(y.symbol) * derivation.in_inputs(y.expression), y.symbol)
    return {f"d{name}": derivative(loss, symbol) for name, symbol in derivation.inputs.items()}


def _closed(derivation: Derivation) -> tuple[dict[str, sp.Expr], dict[str, sp.Expr]]:
    """The chain rule folded: x written through x̂, roots named, vanishing sums dropped, common factors in front."""
    x, normalised = derivation.inputs["x"], _normalised_step(derivation)
    folded: dict[str, sp.Expr] = {}
    saved: dict[str, sp.Expr] = {}
    for name in derivation.outputs:
        gradient = derivation.chain_rule[name]
        for step in derivation.steps.values():
            chained = derivation.chain_rule.get(f"d{step.symbol.base.label}")
            if chained is not None:
                gradient = replace_indexed(gradient, gradient_symbol(step.symbol), chained)
        if normalised is not None:
            slope = derivative(normalised.expression, x)
            offset = normalised.expression.xreplace({x: sp.S.Zero})
            gradient = replace_indexed(gradient, x, (normalised.symbol - offset) / slope)
        folded[name] = gradient
        saved |= _roots(derivation.steps, gradient)
    known = Derivation(**{**derivation.__dict__, "saved": MappingProxyType(saved)})
    closed = {}
    for name, gradient in folded.items():
        expression = normal(known.named_roots(gradient))
        primal = [s for s in expression.atoms(sp.Sum) if not any(base.startswith("d") for base in _bases(s))]
        closed[name] = factored(expression.xreplace({s: sp.S.Zero for s in primal if is_zero(known.in_inputs(s))}))
    return closed, saved


def _bases(expression: sp.Expr) -> set[str]:
    return {str(occurrence.base.label) for occurrence in expression.atoms(sp.Indexed)}


def _normalised_step(derivation: Derivation) -> Step | None:
    """The step that plays x̂: as large as x, linear in x at the same place, the statistics apart."""
    x = derivation.inputs["x"]
    for name, step in derivation.steps.items():
        if name == "y" or step.symbol.indices != x.indices or step.expression.has(sp.Sum):
            continue
        slope = derivative(step.expression, x)
        if slope != 0 and not slope.has(x):
            return step
    return None


_ROOT_NAMES = {"var": "inv_std", "mean_square": "inv_rms"}


def _roots(steps: Mapping[str, Step], expression: sp.Expr) -> dict[str, sp.Expr]:
    """The roots of statistics that an expression divides by: (σ² + ε)^(-1/2) as inv_std."""
    statistics = {step.symbol: name for name, step in steps.items()}
    roots = {}
    for power in sorted(expression.atoms(sp.Pow), key=sp.default_sort_key):
        owners = [statistics[s] for s in power.base.atoms(sp.Indexed) if s in statistics]
        if len(owners) == 1 and power.exp.is_Rational and not power.exp.is_Integer:
            name = _ROOT_NAMES.get(owners[0], f"inv_root_{owners[0]}")
            name += "_of_the_backward_pass" * (name in steps)
            roots[name] = power.base ** sp.Rational(-1, power.exp.q)
    return roots


def factored(expression: sp.Expr) -> sp.Expr:
    """The factors that all terms share, in front; numbers and sizes stay with their terms, as means do."""
    terms = sp.Add.make_args(expression)
    if len(terms) == 1:
        return expression
    shared = [f for f in sp.Mul.make_args(sp.gcd_terms(expression, clear=False)) if not isinstance(f, sp.Add)]
    front = [f for f in shared if f.atoms(sp.Indexed)]
    return sp.Mul(*front, sp.Add(*(term / sp.Mul(*front) for term in terms)), evaluate=False)


def ordered_terms(expression: sp.Add) -> list[sp.Expr]:
    """The terms of a sum as people write them: x − μ and σ² + ε, not −μ + x and ε + σ²."""
    return sorted(
        sp.Add.make_args(expression), key=lambda t: (bool(t.could_extract_minus_sign()), isinstance(t, sp.Symbol))
    )
