"""Derives a layer's gradients from its definition, for symbolic sizes, in three forms.

One index per role an axis can play: i is averaged over, c carries its own γ and β, k does both, n neither. So one
derivation of batch norm speaks for every layout: i runs over N·H·W elements, or over N, or over N·L.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import sympy as sp

from bncheck.case import X_TANGENT, Layout
from bncheck.errors import InvalidDefinition
from bncheck.layers import Layer
from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.domain import check_domain
from bncheck.oracles.symbolic.sums import derivative, normal, over
from bncheck.oracles.symbolic.symbols import ALONE as ALONE
from bncheck.oracles.symbolic.symbols import EPS as EPS
from bncheck.oracles.symbolic.symbols import (
    ROLES,
    has_gradient,
    index,
    indexed,
    over_all,
)
from bncheck.oracles.symbolic.symbols import SIZES as SIZES
from bncheck.oracles.symbolic.symbols import gradient_symbol as gradient_symbol
from bncheck.oracles.symbolic.symbols import replace_indexed as replace_indexed
from bncheck.oracles.symbolic.symbols import upstream_symbol as upstream_symbol
from bncheck.oracles.symbolic.vanishing import Centring, Step, centrings, vanishes
from bncheck.outcomes import Outcome
from bncheck.tangents import SUFFIX
from bncheck.trace import Graph, Node, trace

Equations = Mapping[str, sp.Expr]
"""Gradient name → its right-hand side, at the indices of what it is the gradient of."""


@dataclass(frozen=True)
class Derivation:
    """The gradients of one layer in three forms.

    `inputs` are differentiated, `constants`, the state, are not. `chain_rule` has one equation for every input and for
    every named step that reaches an output, each in the gradients of later steps, as the paper lists them. `direct`
    differentiates the loss as one expression of the inputs. `closed` is what a fast backward pass computes, in x̂ and
    `saved`, the roots it keeps from the forward pass; that of a jvp holds y, too, folded in the same way.

    Shapes
        Indexed symbols, one index for the elements of a group and one for the groups: of every size.

    Source
        Of batch norm: Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167, section 3.
    """

    layer: Layer
    roles: Mapping[str, str]
    inputs: Mapping[str, sp.Indexed]
    constants: Mapping[str, sp.Indexed]
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
        known = {**self.inputs, **self.constants, **{n: step.symbol for n, step in self.steps.items()}}
        if name not in known:
            (owner,) = {symbol.indices for symbol in known.values() if self.saved[name].has(symbol)}
            return sp.IndexedBase(name)[owner]
        return known[name]

    @property
    def loss(self) -> sp.Expr:
        """What is differentiated, in named steps: Σ dy·y, and the same for whatever else the layer hands back."""
        outputs = [self.steps[name].symbol for name in reversed(self.layer.outputs)]
        return sp.Add(*(over_all(upstream_symbol(symbol) * symbol, symbol) for symbol in outputs))

    def vanishes(self, expression: sp.Expr) -> Outcome:
        """Whether an expression of the layer's inputs and steps is zero for every size and every value."""
        return vanishes(expression, self.inputs, self.steps)

    def fresh(self, name: str, taken: Iterable[str] = ()) -> str:
        """A name as near to this one as possible that nothing else in formulas and generated code has."""
        names = {*self.inputs, *self.constants, *self.steps, *self.saved, *self.layer.settings, *taken}
        names |= {"x", "np", "eps", *map(str, SIZES.values()), *self.layer.gradient_names}
        while name in names:
            name += "_"
        return name

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
        definitions = {**self.saved, **{name: step.expression for name, step in reversed(self.steps.items())}}
        for name, definition in definitions.items():
            expression = replace_indexed(expression, self.symbol(name), definition)
        return expression


def roles(layout: Layout) -> dict[str, str]:
    """Which axes of the layout each index runs over.

    >>> roles(Layout("NCHW", reduced="NHW", affine="C"))
    {'i': 'NHW', 'c': 'C'}
    """
    played: dict[str, str] = {}
    for axis in layout.axes:
        letter = ROLES[2 * (axis in layout.affine) + (axis in layout.reduced)]
        played[letter] = played.get(letter, "") + axis
    return {letter: played[letter] for letter in ROLES if letter in played}


def abstract(played: Mapping[str, str]) -> Layout:
    """The layout with one axis for each role, under the name of its index.

    >>> str(abstract({"i": "NHW", "c": "C"}))
    'ic:i:c'
    """
    letters = "".join(played)
    return Layout(letters, "".join(a for a in letters if a in "ik"), "".join(a for a in letters if a in "ck"))


def total_over(derivation: Derivation, roles: str) -> tuple[Callable[[sp.Expr], sp.Expr], sp.Expr]:
    """The sum over the indices of some roles, as a function of what is summed, and how many terms it has."""
    letters = [letter for letter in derivation.roles if letter in roles]
    summed = {index(letter): SIZES[letter] for letter in letters}
    return lambda body: over(body, summed), sp.prod(SIZES[letter] for letter in letters)


@lru_cache(maxsize=64)
def derive(layer: Layer, layout: Layout | None = None, parameters: tuple[str, ...] | None = None) -> Derivation:
    """The gradients of `layer` for every size; layouts whose axes play the same roles share one derivation.

    Raises
        InvalidDefinition: the definition does something other than the elementary operations, has no value anywhere, or
            takes longer to derive than `budgets.DERIVATION`.
    """
    layout = layout or layer.layouts[0]
    played = roles(layout)
    if layout.axes != "".join(played):
        shared = derive(layer, abstract(played), parameters)
        return replace(shared, roles=MappingProxyType(played))
    budget = budgets.Budget(budgets.DERIVATION)
    try:
        with budget.running():
            return _derived(layer, layout, layer.parameters if parameters is None else parameters)
    except budgets.Spent:
        if budget.seconds > 0:
            raise  # a budget around this one
        raise too_long(layer, "to derive") from None
    except RecursionError:
        raise too_long(layer, "to derive") from None


def too_long(layer: Layer, doing: str) -> InvalidDefinition:
    """What a definition is refused with whose gradients take too long, or too deep a recursion."""
    return InvalidDefinition(
        f"definition={layer.name} takes more than {budgets.DERIVATION:g} seconds {doing}, expected a shorter"
        " formula. Return what it computes on the way under names of its own."
    )


def _derived(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> Derivation:
    graph = trace(layer, layout, parameters)
    check_domain(layer, layout, graph)
    inputs, constants, steps = _read(layer, layout, graph)
    unfinished = Derivation(layer, MappingProxyType(roles(layout)), inputs, constants, steps, {}, {}, {}, {})
    chain_rule = _chain_rule(unfinished)
    direct = _direct(unfinished)
    closed, saved = _closed(replace(unfinished, chain_rule=chain_rule))
    if closed["dx"] == 0 and X_TANGENT not in inputs:
        raise InvalidDefinition(f"{layer.name} returns a y that x does not change, expected one that depends on x.")
    return replace(unfinished, chain_rule=chain_rule, direct=direct, closed=closed, saved=saved)


def _read(
    layer: Layer, layout: Layout, graph: Graph
) -> tuple[dict[str, sp.Indexed], dict[str, sp.Indexed], dict[str, Step]]:
    """The inputs, the state and the named steps of the traced definition, as SymPy expressions."""
    names = {node: name for name, node in graph.named.items()}
    formulas: dict[Node, sp.Expr] = {}
    steps: dict[str, Step] = {}
    for node in graph.nodes:
        letters = [letter for letter in ROLES if letter in node.axes]
        arguments = [formulas[argument] for argument in node.inputs]
        if node.operation == "input":
            formula = _input(str(node.name), letters, layer, layout)
        elif node.operation == "constant":
            formula = sp.nsimplify(node.value, rational=True)
        elif node.operation == "mean":
            reduced = [a for a in node.inputs[0].axes if a not in node.axes]
            formula = over_all(arguments[0], indexed("reduced", reduced)) if reduced else arguments[0]
            formula = formula / sp.prod(SIZES[a] for a in reduced)
        else:
            formula = _FORMULAS[node.operation](*arguments)
        if node in names:
            symbol = indexed(names[node], letters)
            steps[names[node]] = Step(symbol, formula)
            formula = symbol
        formulas[node] = formula
    inputs = {name: formulas[graph.inputs[name]] for name in graph.differentiable}
    constants = {name: formulas[graph.inputs[name]] for name in layer.state}
    last = {"y": steps.pop("y")}
    return inputs, constants, {**steps, **last}  # as they are computed, in whatever order they are returned


def _input(name: str, letters: list[str], layer: Layer, layout: Layout) -> sp.Expr:
    """An array's indexed symbol, or a number's plain one; the count is the product of the sizes reduced."""
    if name == "count" and "count" in layer.operations:
        return sp.prod(SIZES[letter] for letter in layout.axes if letter in layout.reduced)
    return sp.Symbol(name) if name in ("eps", *layer.settings) else indexed(name, letters)


_FORMULAS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda a: -a,
    "sqrt": sp.sqrt,
}


def _chain_rule(derivation: Derivation) -> dict[str, sp.Expr]:
    """One equation for each named value: the gradients of its consumers times their derivatives."""
    equations: dict[str, sp.Expr] = {}
    steps = [step for name, step in reversed(derivation.steps.items())]
    reaching = [step for step in steps if step.symbol == derivation.steps["y"].symbol]
    for target in [step.symbol for step in steps[1:]] + list(derivation.inputs.values()):
        consumers = [step for step in reaching if step.expression.has(target.base)]
        output = str(target.base.label) in derivation.layer.outputs
        if not consumers and not output and target not in derivation.inputs.values():
            continue  # a state after the step: it reaches no output
        terms = [over_all(gradient_symbol(step.symbol) * step.expression, step.symbol) for step in consumers]
        arriving = [over_all(upstream_symbol(target) * target, target)] if output else []
        equations[f"d{target.base.label}"] = derivative(sp.Add(*arriving, *terms), target)
        reaching += [step for step in steps if step.symbol == target]
    return equations


def _direct(derivation: Derivation) -> dict[str, sp.Expr]:
    """The derivative of the loss, with every step written out before differentiating."""
    loss = derivation.in_inputs(derivation.loss)
    return {f"d{name}": derivative(loss, symbol) for name, symbol in derivation.inputs.items()}


def _closed(derivation: Derivation) -> tuple[dict[str, sp.Expr], dict[str, sp.Expr]]:
    """The chain rule folded: x written through x̂, roots named, vanishing sums dropped, common factors in front.

    What stands under a root is not written through x̂, but as the deviation from its mean.
    """
    folded: dict[str, sp.Expr] = {}
    centred = centrings(derivation.inputs, derivation.steps)
    deviating: dict[str, list[Centring]] = {}
    for name in (*derivation.outputs, *(["y"] if X_TANGENT in derivation.inputs else [])):
        gradient = _unfolded(derivation, name)
        rewritten = _normalised_steps(derivation, ["x"] if name == "y" else derivation.inputs)
        roots = [p.base for p in gradient.atoms(sp.Pow) if not p.exp.is_Integer]
        rooted = {large for large in rewritten if any(root.has(large.base) for root in roots)}
        deviating[name] = [c for c in centred if c.symbol in rooted]
        for centring in deviating[name]:
            gradient = centring.changed(gradient)
        for large, normalised in rewritten.items():
            if large in rooted:
                continue
            slope = derivative(normalised.expression, large)
            offset = normalised.expression.xreplace({large: sp.S.Zero})
            gradient = replace_indexed(gradient, large, normalised.symbol / slope - offset / slope)
        folded[name] = gradient
    saved = _roots(derivation, folded.values())
    known = replace(derivation, saved=MappingProxyType(saved))
    closed = {}
    for name, gradient in folded.items():
        expression = normal(known.named_roots(gradient))
        primal = [s for s in expression.atoms(sp.Sum) if not has_gradient(s)]
        gone = [s for s in primal if known.vanishes(known.in_inputs(s)) is Outcome.PROVED]
        expression = expression.xreplace(dict.fromkeys(gone, sp.S.Zero))
        for centring in deviating[name]:
            expression = centring.without_sums_of_deviations(expression)
        closed[name] = factored(expression)
        for centring in deviating[name]:
            closed[name] = centring.written_back(closed[name])
    return closed, saved


def _unfolded(derivation: Derivation, name: str) -> sp.Expr:
    """A gradient with the gradients of all steps written out; or ẏ, with the tangents of all steps written out."""
    steps = derivation.steps
    if name == "y":
        written = {s.symbol: s.expression for n, s in reversed(steps.items()) if n == "y" or n.endswith(SUFFIX)}
        expression = steps["y"].symbol
    else:
        chained = {gradient_symbol(step.symbol): f"d{n}" for n, step in steps.items()}
        written = {s: derivation.chain_rule[n] for s, n in chained.items() if n in derivation.chain_rule}
        expression = derivation.chain_rule[name]
    for symbol, definition in written.items():
        expression = replace_indexed(expression, symbol, definition)
    return expression


def _normalised_steps(derivation: Derivation, names: Iterable[str]) -> dict[sp.Indexed, Step]:
    """For those inputs that are as large as x, the step that plays x̂: as large, and linear in it at the same place."""
    found: dict[sp.Indexed, Step] = {}
    inputs = [derivation.inputs[name] for name in names]
    for large in (symbol for symbol in inputs if symbol.indices == derivation.inputs["x"].indices):
        for name, step in derivation.steps.items():
            if large in found or name == "y" or step.symbol.indices != large.indices or step.expression.has(sp.Sum):
                continue
            slope = derivative(step.expression, large)
            if slope != 0 and not any(slope.has(symbol) for symbol in (large, *(s.symbol for s in found.values()))):
                found[large] = step
    return found


_ROOT_NAMES = {"var": "inv_std", "running_var": "inv_std", "mean_square": "inv_rms"}


def _roots(derivation: Derivation, expressions: Iterable[sp.Expr]) -> dict[str, sp.Expr]:
    """The roots of statistics that expressions divide by: (σ² + ε)^(-1/2) as inv_std.

    Beside the statistic, a root may hold what varies along the same axes, and plain numbers, but no sizes: it is
    computed before anything that has the shape of x is at hand.
    """
    statistics = {symbol: name for name, symbol in derivation.constants.items()}
    statistics |= {step.symbol: name for name, step in derivation.steps.items()}
    powers = {p for e in expressions for p in e.atoms(sp.Pow) if p.exp.is_Rational and not p.exp.is_Integer}
    units: dict[sp.Expr, int] = {}
    for power in sorted(powers, key=sp.default_sort_key):
        units[power.base] = max(power.exp.q, units.get(power.base, 1))
    roots: dict[str, sp.Expr] = {}
    for base, unit in units.items():
        symbols = base.atoms(sp.Indexed)
        owners = [statistics[s] for s in symbols if s in statistics]
        alike = len({s.indices for s in symbols}) == 1 and not base.free_symbols & set(SIZES.values())
        if len(owners) == 1 and alike and not base.has(sp.Sum):
            name = derivation.fresh(_ROOT_NAMES.get(owners[0], f"inv_root_{owners[0]}"), roots)
            roots[name] = base ** sp.Rational(-1, unit)
    return roots


def factored(expression: sp.Expr) -> sp.Expr:
    """The factors that all terms share, in front; numbers and sizes stay with their terms, as means do."""
    terms = sp.Add.make_args(expression)
    if len(terms) == 1:
        return expression
    budgets.check()
    first, *others = (dict(factor.as_base_exp() for factor in sp.Mul.make_args(term)) for term in terms)
    shared = {b: min(e, *(powers.get(b, sp.S.Zero) for powers in others)) for b, e in first.items() if e.is_Rational}
    front = [base**least for base, least in shared.items() if least > 0 and base.atoms(sp.Indexed)]
    return sp.Mul(*front, sp.Add(*(term / sp.Mul(*front) for term in terms)), evaluate=False)


def ordered_terms(expression: sp.Add) -> list[sp.Expr]:
    """The terms of a sum as people write them: x − μ and σ² + ε, not −μ + x and ε + σ²."""
    return sorted(
        sp.Add.make_args(expression), key=lambda t: (bool(t.could_extract_minus_sign()), isinstance(t, sp.Symbol))
    )
