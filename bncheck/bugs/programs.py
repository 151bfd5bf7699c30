"""The programs that follow from a layer's definition: its forward pass, and its backward pass as people write it.

A program is a list of named steps, each an expression in earlier ones. The backward pass comes in several styles, all
derived: the chain rule through the named results, as papers print it; through every difference and root as well, as
textbooks code it; the closed form, in the ways in which it is multiplied out. Which of them a piece of code follows
does not matter while it is right; what one wrong place in it does, does.

A Jacobian-vector product runs the programs of its layer on tangents, so that a bug of the first order shows there too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp

from bncheck.bugs.expressions import (
    ONE,
    ZERO,
    Expression,
    Larger,
    Name,
    Number,
    Power,
    Product,
    Reduced,
    Room,
    Sum,
    divides,
    exchanged,
    minus,
    number,
    over,
    plus,
    power,
    throughout,
    times,
)
from bncheck.case import Array, Case, Layout
from bncheck.layers import Layer
from bncheck.oracles.symbolic.derivation import SIZES, Derivation, derive, upstream_symbol
from bncheck.tangents import Tangent, tangent_of
from bncheck.trace import Graph, Node, trace

COUNT = Name("m")
"""The size of a group."""

DY = "dy"
HOLE = "?"
"""The name of what is not known yet."""
_ONES = "ones"

Steps = Mapping[str, Expression]
"""Step → its expression, in the order in which they are computed."""

Lifted = Callable[[Any], Any]
"""What makes another kind of number of an array."""


def size(axes: Iterable[str]) -> Expression:
    """How many elements there are along these axes."""
    return times(*(Name(f"#{axis}") for axis in axes))


def gradient(name: str) -> str:
    """The label of a gradient; no definition can have a step of that name.

    >>> gradient("var")
    '∂var'
    """
    return f"∂{name}"


def step_of(name: str) -> str:
    """The label of the step that gives a gradient, by the name that a case has for it.

    >>> step_of("dgamma"), step_of("dx" + tangent_of(""))
    ('∂gamma', '∂x')
    """
    return gradient(name.removeprefix("d").removesuffix(tangent_of("")))


def arriving(name: str) -> str:
    """The label of the gradient that arrives at an output from outside."""
    return DY if name == "y" else f"∂{name} from outside"


@dataclass(frozen=True, eq=False)
class Program:
    """Forward and backward steps of one layer on one layout.

    `saved` are the forward steps as the backward pass knows them: the same, unless it recomputes them otherwise.
    `style` says how the backward pass is written.
    """

    layer: Layer
    layout: Layout
    parameters: tuple[str, ...]
    style: str
    forward: Steps
    saved: Steps
    backward: Steps

    @property
    def own(self) -> Layer:
        """The layer whose steps these are: of a jvp, the layer that it is the jvp of."""
        return self.layer.primal or self.layer

    @cached_property
    def axes(self) -> Mapping[str, str]:
        """Along which axes every input and step varies."""
        return axes_of(self.own, self.layout, self.parameters, {**self.forward, **self.backward})

    @cached_property
    def axes_of_inputs(self) -> Mapping[str, str]:
        """Along which axes every array or number varies that no step computes; what is missing here is no input."""
        arrays = axes_of(self.own, self.layout, self.parameters, {})
        arrays.pop(_ONES)
        sizes = [f"#{axis}" for axis in self.layout.axes]
        return {**arrays, **dict.fromkeys(("eps", COUNT.label, *self.own.settings, *sizes), "")}

    @cached_property
    def inverses(self) -> Mapping[str, Expression]:
        """The steps before the backward pass that are one over something, and what."""
        return {name: power(step, -1) for name, step in self.saved.items() if divides(step)}

    def swept(self, forward: Steps) -> Program:
        """Other forward steps, with the backward pass that belongs to them."""
        backward = sweep(self.own, self.layout, self.parameters, forward)
        return replace(self, forward=forward, saved=forward, backward=backward)

    def run(self, case: Case, lifted: Lifted = np.asarray) -> dict[str, Any]:
        """What the layer returns and every gradient, in the case's shapes; `lifted` makes the arrays' kind."""
        return Bench(self, case, lifted).answers(self)


class Bench:
    """One case on which many edits of one program are run: what an edit does not touch is computed once."""

    def __init__(self, program: Program, case: Case, lifted: Lifted = np.asarray) -> None:
        self.program, self.case = program, case
        self._inputs = _inputs(program, case, lifted)
        with np.errstate(all="ignore"):
            self._forward = _after(program.forward, self._inputs, {}, {}, case.layout)
            self._saved = self._forward
            if program.saved is not program.forward:
                self._saved = _after(program.saved, self._inputs, {}, {}, case.layout)

    @cached_property
    def _backward(self) -> dict[str, Any]:
        with np.errstate(all="ignore"):
            return _after(self.program.backward, self._saved, {}, {}, self.case.layout)

    def answers(self, program: Program, names: Iterable[str] | None = None) -> dict[str, Any]:
        """What another program of this layer answers, for these names or for all."""
        case, mine = self.case, self.program
        returned = program.layer.returned(program.forward)
        wanted = (*returned, *case.gradient_names) if names is None else tuple(names)
        gradients = [name for name in wanted if name in case.gradient_names]
        results: dict[str, Any] = {}
        with np.errstate(all="ignore"):
            if len(gradients) < len(wanted):
                values = _after(program.forward, self._inputs, mine.forward, self._forward, case.layout)
                results = {name: values[name] for name in wanted if name not in gradients}
                if program.layer.primal is not None:
                    results = {name: _moved(value) for name, value in results.items()}
            if gradients:
                values = self.values(program)
                results |= {name: _gradient(values, name, program.layer) for name in gradients}
            return {name: _in_shape(results[name], case.shape_of(name)) for name in wanted}

    def values(self, program: Program) -> dict[str, Any]:
        """The value of every name in the backward pass of another program."""
        mine, layout = self.program, self.case.layout
        saved = self._saved
        if program.saved is not mine.saved:
            saved = _after(program.saved, self._inputs, mine.saved, self._saved, layout)
        return _after(program.backward, saved, mine.backward, self._backward, layout)


def _after(
    steps: Steps, before: Mapping[str, Any], old: Steps, known: Mapping[str, Any], layout: Layout
) -> dict[str, Any]:
    """Every value after some steps; that of a step which is an old one, of inputs that are known, is known."""
    values = dict(before)
    room = Room(values, layout.axes)
    stale = {name for name, value in before.items() if known.get(name) is not value} if known else set()
    for name, expression in steps.items():
        if old.get(name) is expression and not expression.names & stale:
            values[name] = known[name]
        else:
            values[name] = expression.value(room)
            stale.add(name)
    return values


def _inputs(program: Program, case: Case, lifted: Lifted) -> dict[str, Any]:
    """The value of every name that no step computes."""
    own, layout = program.own, case.layout
    arrays = {**case.parameters, **case.state}
    given = {name: lifted(layout.broadcastable(value)) for name, value in arrays.items()}
    values: dict[str, Any] = {"x": lifted(case.x), DY: lifted(case.dy), _ONES: lifted(np.ones_like(case.x))}
    values |= {name: given[name] for name in case.state}
    values |= {arriving(name): lifted(a) for name, a in case.broadcast_upstream().items() if name != "y"}
    values |= {name: given.get(name, own.default(name)) for name in program.parameters}
    if program.layer.primal is not None:
        wide = {name: np.float64(value) if isinstance(value, int | float) else value for name, value in values.items()}
        values = {name: Tangent(value, given.get(tangent_of(name))) for name, value in wide.items()}
    return {**values, **_numbers(program, case.x.shape), **case.settings, "eps": case.eps}


def _numbers(program: Program, shape: tuple[int, ...]) -> dict[str, float]:
    """The settings, as they are by default, and the sizes."""
    sizes = {f"#{axis}": size for axis, size in zip(program.layout.axes, shape, strict=True)}
    return {**program.own.settings, COUNT.label: program.layout.count(shape), **sizes}


def ran_forward(program: Program, x: Array, given: Mapping[str, Any], eps: float) -> tuple[Mapping[str, Any], ...]:
    """The values of the forward steps on plain arrays, and what the backward pass knows of them: most often the same.

    `given` holds parameters, state and settings, arrays in shapes that broadcast against x.
    """
    inputs = {"x": x, _ONES: np.ones_like(x), **_numbers(program, x.shape), **given, "eps": eps}
    values = _after(program.forward, inputs, {}, {}, program.layout)
    return values, values if program.saved is program.forward else _after(program.saved, inputs, {}, {}, program.layout)


def ran_backward(program: Program, saved: Mapping[str, Any], dy: Array) -> dict[str, Any]:
    """The gradients of x and the parameters, by their names, in the shapes in which the program leaves them."""
    values = _after(program.backward, {**saved, DY: dy}, {}, {}, program.layout)
    return {f"d{name}": values[gradient(name)] for name in ("x", *program.parameters)}


def _gradient(values: Mapping[str, Any], name: str, layer: Layer) -> Any:
    """A gradient by the name that a case has for it; that of a direction is the layer's own, of the first order."""
    value = values[step_of(name)]
    if layer.primal is None:
        return value
    if not name.endswith(tangent_of("")):
        return _moved(value)
    return value.value if isinstance(value, Tangent) else value


def _moved(value: Any) -> Any:
    """A value's tangent; that of a constant is zero."""
    if not isinstance(value, Tangent):
        return 0 * value
    return 0 * value.value if value.tangent is None else value.tangent


def _in_shape(value: Any, shape: tuple[int, ...]) -> Any:
    """An array in the shape in which it is stored, where it has that many elements; else as it is, which is wrong."""
    if isinstance(value, int | float) or not value.shape:
        return value + np.zeros(shape)
    if math.prod(value.shape) == 1 != math.prod(shape):
        return value.reshape(())  # one number for all
    return value.reshape(shape) if math.prod(value.shape) == math.prod(shape) else value


STYLES = ("equations", "stages", "reciprocal", "totals", "apart")
"""How the forward pass is written: in named results alone; with differences and roots; with 1/s as one more step; then
with each mean a total over m; or with each statistic computed from x alone."""


@lru_cache(maxsize=256)
def programs(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> Mapping[str, Program]:
    """The right programs of a layer by style, those that differ; a layer may have room for fewer.

    `parameters` are those of a case; of a jvp's, a direction counts for what it is a direction of.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> list(programs(layer, layer.layouts[0], ("gamma", "beta"))["stages"].backward)
    ['∂gamma', '∂beta', '∂xhat', '∂std', '∂var', '∂centred', '∂mean', '∂x']
    """
    own = layer.primal or layer
    present = tuple(n for n in own.parameters if n in parameters or tangent_of(n) in parameters)
    graph = trace(own, layout, present)
    written: dict[str, Program] = {}
    for style in STYLES:
        forward = _Spelling(graph, layout, style).steps
        written[style] = Program(layer, layout, present, style, forward, {}, {}).swept(forward)
    written["factors in front"] = in_front(written["equations"])
    written["equations in s"] = _with_roots(written["equations"], written["stages"])
    written["root anew"] = _without_roots(written["reciprocal"])
    written |= _closed_forms(written["reciprocal"])
    written |= {style: written.pop(style) for style in ("totals", "apart")}  # the same backward passes
    distinct: dict[str, Program] = {}
    for style, program in written.items():
        if all((program.forward, program.backward) != (p.forward, p.backward) for p in distinct.values()):
            distinct[style] = program
    return MappingProxyType(distinct)


def in_front(program: Program) -> Program:
    """The same program with what a total's terms share in front of it."""

    def pulled(node: Expression) -> Expression | None:
        return _shared(node, program.axes) if isinstance(node, Reduced) else None

    return replace(
        program,
        style="factors in front",
        backward={label: throughout(expression, pulled) for label, expression in program.backward.items()},
    )


def _shared(total: Reduced, axes: Mapping[str, str]) -> Expression:
    """A total with the factors that all its terms share in front of it."""
    factors = total.body.factors if isinstance(total.body, Product) else (total.body,)
    own = [factor for factor in factors if not varies(factor, axes) & set(total.axes)]
    inner = times(*(factor for factor in factors if factor not in own))
    if varies(inner, axes) < set(total.axes):  # then the total is a multiple, and its count would be lost
        return total
    return times(*own, Reduced(inner, total.axes, total.mean))


def _without_roots(reciprocal: Program) -> Program:
    """The chain rule through 1/s in which the derivative of each root computes it once more, as ½/√(σ² + ε)."""
    roots = {n: e for n, e in reciprocal.forward.items() if isinstance(e, Power) and e.exponent > 0}
    backward = {
        label: exchanged(e, {n: root for n, root in roots.items() if gradient(n) in e.names})
        for label, e in reciprocal.backward.items()
    }
    return replace(reciprocal, style="root anew", backward=backward)


def _with_roots(equations: Program, stages: Program) -> Program:
    """The chain rule through the named results with 1/s for the inverse of a root that the forward pass keeps."""
    roots = {e: Name(n) for n, e in stages.forward.items() if isinstance(e, Power) and n not in equations.forward}

    def kept(node: Expression) -> Expression | None:
        return over(ONE, roots[inverse]) if (inverse := over(ONE, node)) in roots else None

    backward = {label: throughout(expression, kept) for label, expression in equations.backward.items()}
    return replace(stages, style="equations in s", backward=backward)


ELEMENTARY = "elementary"


def elementary(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> tuple[Program, Mapping[Node, str]]:
    """The program in which every node of the traced graph is a step, and the label of each node's step."""
    graph = trace(layer, layout, parameters)
    spelling = _Spelling(graph, layout, ELEMENTARY)
    inputs = {node: name for name, node in graph.inputs.items()}
    program = Program(layer, layout, parameters, ELEMENTARY, spelling.steps, {}, {}).swept(spelling.steps)
    return program, MappingProxyType({**inputs, **spelling.labels})


class _Spelling:
    """The forward steps of a traced definition: its named results, and what else a style names."""

    def __init__(self, graph: Graph, layout: Layout, style: str) -> None:
        self.layout, self.style, self.steps = layout, style, dict[str, Expression]()
        self._known: dict[Node, Expression] = {}
        self._inverses: dict[Expression, Expression] = {}
        self._taken = {*graph.inputs, *graph.named}
        self.labels = labels = {node: name for name, node in graph.named.items()}
        divisors = {n.inputs[1] for n in graph.nodes if n.operation == "divide" and n.inputs[1].axes}
        for node in graph.nodes:
            expression = self._read(node)
            label = labels.get(node)
            if label is None and style == ELEMENTARY and node.inputs:
                label = labels[node] = self._fresh(node.operation)
            elif label is None and style != "equations":
                if node.operation == "subtract" and set(node.axes) == set(layout.axes):
                    label = self._fresh("centred")
                elif node in divisors and isinstance(expression, Sum | Power):
                    label = self._fresh("std")
            if label is not None:
                self.steps[label] = expression
                expression = Name(label)
                if style not in ("stages", ELEMENTARY) and node in divisors and node not in labels:
                    inverse = self._fresh(f"inv_{label}")
                    self.steps[inverse] = over(ONE, expression)
                    self._inverses[expression] = Name(inverse)
            self._known[node] = expression
        if style == "apart":
            self._set_apart([n for n, node in graph.named.items() if not set(node.axes) >= set(layout.axes)])
        if "new_weight" in graph.inputs and style in ("totals", "apart"):
            weighted = _weighted if style == "totals" else _weighted_by_the_old
            self.steps |= {n: weighted(e) for n, e in self.steps.items() if n.startswith("new_")}

    def _set_apart(self, statistics: Sequence[str]) -> None:
        """Writes out, in each statistic, the others and what is made of them."""
        for label in (name for name in statistics if not name.startswith("new_")):
            names = list(self.steps)
            for name in reversed(names[: names.index(label)]):
                self.steps[label] = exchanged(self.steps[label], {name: self.steps[name]})

    def _fresh(self, label: str) -> str:
        taken = {*self._taken, *self.steps}
        return next(name for name in (label, *(f"{label} {k}" for k in range(2, 99))) if name not in taken)

    def _read(self, node: Node) -> Expression:
        if node.operation == "input":
            return COUNT if node.name == "count" else Name(str(node.name))
        if node.operation == "constant":
            return number(node.value or 0)
        operands = [self._known[operand] for operand in node.inputs]
        if node.operation == "divide":
            above, below = operands
            return times(above, self._inverses[below]) if below in self._inverses else over(above, below)
        if node.operation == "mean" and self.style == "totals":
            return over(Reduced(operands[0], self.layout.reduced), COUNT)
        if node.operation == "mean":
            return Reduced(operands[0], self.layout.reduced, mean=True)
        return _SPELLED[node.operation](*operands)


def _weighted(step: Expression) -> Expression:
    """The step of an average as the two weights of the old and the new, which R + w·(μ − R) comes to."""
    weight = Name("new_weight")
    old, moved = step.parts if isinstance(step, Sum) else (step, ZERO)
    inner = over(moved, weight)
    if not isinstance(inner, Sum) or minus(old) not in inner.terms:
        return step
    new = plus(*(term for term in inner.terms if term != minus(old)))
    return plus(times(plus(ONE, minus(weight)), old), times(weight, new))


def _weighted_by_the_old(step: Expression) -> Expression:
    """The same with p = 1 − w in the place of w: p·R + (1 − p)·μ."""
    old = plus(ONE, minus(Name("new_weight")))
    other = _weighted(step)
    if other == step or not isinstance(other, Sum):
        return step
    kept, *rest = other.terms
    return plus(kept, *(exchanged(term, {"new_weight": plus(ONE, minus(old))}) for term in rest))


_SPELLED: Mapping[str, Callable[..., Expression]] = {
    "add": plus,
    "subtract": lambda a, b: plus(a, minus(b)),
    "multiply": times,
    "negative": minus,
    "sqrt": lambda a: power(a, Fraction(1, 2)),
}


def varies(expression: Expression, axes: Mapping[str, str]) -> frozenset[str]:
    """The axes along which an expression varies, from those of names."""
    if isinstance(expression, Name):
        return frozenset(axes.get(expression.label, ""))
    below = frozenset[str]().union(*(varies(part, axes) for part in expression.parts))
    return below - set(expression.axes) if isinstance(expression, Reduced) else below


def axes_of(layer: Layer, layout: Layout, parameters: Iterable[str], steps: Steps) -> dict[str, str]:
    """Along which axes each input and step varies."""
    axes = {"x": layout.axes, DY: layout.axes, _ONES: layout.axes}
    axes |= dict.fromkeys((*parameters, *layer.state), layout.affine)
    axes |= {arriving(name): layout.kept for name in layer.outputs if name != "y"}
    for name, expression in steps.items():
        varying = varies(expression, axes)
        axes[name] = "".join(axis for axis in layout.axes if axis in varying)
    return axes


def sweep(layer: Layer, layout: Layout, parameters: tuple[str, ...], forward: Steps) -> dict[str, Expression]:
    """The reverse sweep through some forward steps, right or wrong: one equation for the gradient of each."""
    axes = axes_of(layer, layout, parameters, forward)
    received: dict[str, list[Expression]] = {name: [] for name in ("x", *parameters, *forward)}
    for name in layer.outputs:
        received[name].append(Name(arriving(name)))
    backward: dict[str, Expression] = {}
    for name, expression in reversed(list(forward.items())):
        total = plus(*received[name])
        if total == ZERO:
            continue
        if total != Name(DY):
            backward[gradient(name)] = total
            total = Name(gradient(name))
            axes[total.label] = axes[name]
        for label, share in sent(name, expression, total, layout, axes):
            if label in received:
                received[label].append(share)
    for name in ("x", *parameters):
        total = plus(*received[name])
        if total != ZERO and not set(axes[name]) <= varies(total, axes):
            others = "".join(axis for axis in layout.axes if axis not in axes[name])
            total = times(total, Reduced(Name(_ONES), others, mean=True) if others else Name(_ONES))
        backward[gradient(name)] = total
    labels = {gradient(name) for name in parameters}
    early = {n: e for n, e in backward.items() if n in labels and not e.names & backward.keys()}
    return {**early, **backward}  # those of the parameters come first where they can, as people compute them


def sent(
    step: str, expression: Expression, arrived: Expression, layout: Layout, axes: Mapping[str, str]
) -> Iterator[tuple[str, Expression]]:
    """What a gradient that arrives at a step sends back to a name, for each time that the step reads it."""
    for label, part, context in _through(step, expression, arrived, layout, axes):
        yield label, _summed(part, context - set(axes.get(label, "")), layout, axes)


def local(
    step: str, expression: Expression, layout: Layout, axes: Mapping[str, str]
) -> Iterator[tuple[str, Expression]]:
    """The derivative of a step with respect to a name, for each time that the step reads it."""
    yield from ((label, part) for label, part, _ in _through(step, expression, ONE, layout, axes))


def _through(
    step: str, expression: Expression, arrived: Expression, layout: Layout, axes: Mapping[str, str]
) -> Iterator[tuple[str, Expression, frozenset[str]]]:
    if isinstance(expression, Power) and expression.exponent == Fraction(1, 2):  # ½/s, as people write it
        arrived, expression = times(number(Fraction(1, 2)), over(arrived, Name(step))), expression.base
    yield from _pulled(expression, arrived, frozenset(axes[step]), layout, axes)


def _pulled(
    expression: Expression, arrived: Expression, context: frozenset[str], layout: Layout, axes: Mapping[str, str]
) -> Iterator[tuple[str, Expression, frozenset[str]]]:
    """What a gradient that arrives at an expression sends on to each name in it, and over which axes."""
    if isinstance(expression, Name):
        yield expression.label, arrived, context
        return
    sent: list[tuple[Expression, Expression]] = []
    if isinstance(expression, Sum):
        sent = [(term, arrived) for term in expression.terms]
    elif isinstance(expression, Product):
        factors = expression.factors
        sent = [(factor, times(arrived, *factors[:k], *factors[k + 1 :])) for k, factor in enumerate(factors)]
    elif isinstance(expression, Power):
        base, exponent = expression.base, expression.exponent
        sent = [(base, times(arrived, number(exponent), power(base, exponent - 1)))]
    elif isinstance(expression, Reduced):
        own = varies(expression, axes)  # what was repeated after the reduction is summed before it
        arrived = _summed(arrived, context - own, layout, axes)
        covered = varies(expression.body, axes) & set(expression.axes)
        context = own | covered
        sent = [(expression.body, over(arrived, count(covered, layout)) if expression.mean else arrived)]
    elif isinstance(expression, Larger):
        first = Larger(expression.left, expression.right, which=True)
        sent = [(expression.left, times(arrived, first)), (expression.right, times(arrived, plus(ONE, minus(first))))]
    for part, share in sent:
        yield from _pulled(part, share, context, layout, axes)


def count(axes: Iterable[str], layout: Layout) -> Expression:
    """How many elements these axes have: m where they are those of a group."""
    return COUNT if set(axes) == set(layout.reduced) else size(axis for axis in layout.axes if axis in axes)


def summed(body: Expression, axes: str) -> Expression:
    """A total, with the number of a product in front of it."""
    if not axes:
        return body
    first = body.factors[0] if isinstance(body, Product) else None
    if isinstance(first, Number):
        return times(first, Reduced(times(*body.parts[1:]), axes))
    return Reduced(body, axes)


def _summed(part: Expression, missing: frozenset[str], layout: Layout, axes: Mapping[str, str]) -> Expression:
    """A gradient summed over the axes along which its value was repeated."""
    varying = "".join(axis for axis in layout.axes if axis in missing & varies(part, axes))
    total = summed(part, varying)
    return times(count(missing - set(varying), layout), total) if missing - set(varying) else total


def _closed_forms(stages: Program) -> dict[str, Program]:
    """The closed form, and the ways in which people multiply it out, on forward steps that keep x − μ, s and 1/s."""
    layer, layout, present = stages.own, stages.layout, stages.parameters
    forward, plain_axes = dict(stages.forward), stages.axes

    def written(style: str, backward: Steps) -> Program:
        return Program(stages.layer, layout, present, style, forward, forward, backward)

    whole = _closed(derive(layer, layout, present), forward, layout)
    parameters = {name: e for name, e in whole.items() if name != gradient("x")}
    forms = {"closed": written("closed", {**parameters, gradient("x"): whole[gradient("x")]})}
    normalised = next((n for n, e in stages.backward.items() if e.names <= {DY, *present} and n[1:] in forward), "")
    if normalised and len(layer.outputs) == 1:
        alone = _closed(derive(layer, layout, ()), forward, layout)[gradient("x")]
        alone = exchanged(alone, {DY: Name(normalised)})
        inner = {normalised: stages.backward[normalised], gradient("x"): alone, **parameters}
        means = {name: throughout(e, lambda node: _as_mean(node, layout)) for name, e in inner.items()}
        forms["closed in dx̂"] = written("closed in dx̂", means)
        forms["multiplied by m"] = written("multiplied by m", {**inner, gradient("x"): _multiplied(alone)})
    totals: dict[Expression, Expression] = {
        expression: Name(name) for name, expression in parameters.items() if isinstance(expression, Reduced)
    }
    shared = throughout(whole[gradient("x")], lambda node: totals.get(node))
    if shared != whole[gradient("x")]:
        through = {**parameters, gradient("x"): _multiplied(shared)}
        forms["through dγ"] = written("through dγ", through)
    large = {n: e for n, e in forward.items() if set(plain_axes[n]) == set(layout.axes) and n != "y"}
    hats = {n: e for n, e in large.items() if isinstance(e, Product)}
    out = {name: exchanged(expression, hats) for name, expression in forms["closed"].backward.items()}
    forms["written out"] = written("written out", out)
    forms["expanded"] = written("expanded", {name: _expanded(e, plain_axes) for name, e in out.items()})
    return forms


def _expanded(expression: Expression, axes: Mapping[str, str]) -> Expression:
    """A sum of products: what all terms share multiplied into each, what a total shares in front of it."""
    parts = tuple(_expanded(part, axes) for part in expression.parts)
    whole = expression.with_parts(parts)
    if isinstance(whole, Reduced):
        return _shared(whole, axes)
    if isinstance(whole, Product):
        several = next((factor for factor in whole.factors if isinstance(factor, Sum)), None)
        if several is not None:
            rest = times(*(factor for factor in whole.factors if factor is not several))
            return plus(*(_expanded(times(term, rest), axes) for term in several.terms))
    return whole


def _as_mean(node: Expression, layout: Layout) -> Expression | None:
    """A total over m as the mean that it is."""
    if not isinstance(node, Product) or power(COUNT, -1) not in node.factors:
        return None
    for total in node.factors:
        if isinstance(total, Reduced) and total.axes == layout.reduced and not total.mean:
            return times(*(f for f in node.factors if f not in (total, power(COUNT, -1))), replace(total, mean=True))
    return None


def _multiplied(closed: Expression) -> Expression:
    """A closed form with the 1/m of its means in front."""

    def change(node: Expression) -> Expression | None:
        if isinstance(node, Sum) and any(isinstance(t, Product) and power(COUNT, -1) in t.factors for t in node.terms):
            return over(plus(*(times(COUNT, term) for term in node.terms)), COUNT)
        return None

    return throughout(closed, change)


def _closed(derivation: Derivation, forward: dict[str, Expression], layout: Layout) -> dict[str, Expression]:
    """The closed form of every gradient as expressions in forward steps; a root that is none becomes one."""
    steps, sources = derivation.steps, {**derivation.inputs, **derivation.constants}
    names: dict[Any, Expression] = {symbol.base: Name(name) for name, symbol in sources.items()}
    names |= {step.symbol.base: Name(name) for name, step in steps.items()}
    names |= {upstream_symbol(steps[n].symbol).base: Name(arriving(n)) for n in derivation.layer.outputs}
    sizes = [SIZES[letter] for letter in derivation.roles if letter in "ik"]
    names |= dict.fromkeys(sizes, ONE) | ({sizes[0]: COUNT} if sizes else {})
    others = [letter for letter in derivation.roles if letter not in "ik"]
    names |= {SIZES[letter]: size(derivation.roles[letter]) for letter in others}
    inlined = {_sorted(_inlined(e, forward, steps)): Name(n) for n, e in forward.items() if n not in steps}
    for name, root in derivation.saved.items():
        expression = _sorted(_read(root, names, derivation, layout))
        names[derivation.symbol(name).base] = inlined.get(expression, expression)
    return {gradient(n[1:]): _read(derivation.closed[n], names, derivation, layout) for n in derivation.outputs}


def _sorted(expression: Expression) -> Expression:
    """An expression with its terms in an order of their own, so that equal ones are the same."""
    parts = tuple(map(_sorted, expression.parts))
    if isinstance(expression, Sum):
        return plus(*sorted(parts, key=repr))
    return expression.with_parts(parts)


def _inlined(expression: Expression, forward: Steps, kept: Iterable[str]) -> Expression:
    """An expression with the steps that no definition names written out."""
    for name in reversed(list(forward)):
        if name not in kept:
            expression = exchanged(expression, {name: forward[name]})
    return expression


def _read(expression: sp.Expr, names: Mapping[Any, Expression], derivation: Derivation, layout: Layout) -> Expression:
    """A SymPy expression of a derivation as one of a program."""
    if isinstance(expression, sp.Indexed):
        return names[expression.base]
    if isinstance(expression, sp.Symbol):
        return names.get(expression, Name(expression.name))
    if expression.is_Rational:
        return number(Fraction(int(expression.p), int(expression.q)))
    if isinstance(expression, sp.Sum):
        letters = {index.name.rstrip("'") for index, *_ in expression.limits}
        axes = {axis for letter in letters for axis in derivation.roles.get(letter, letter)}
        body = _read(expression.function, names, derivation, layout)
        if isinstance(body, Reduced):  # a sum within a sum
            axes, body = axes | set(body.axes), body.body
        return Reduced(body, "".join(axis for axis in layout.axes if axis in axes))
    if isinstance(expression, sp.Pow):
        base = _read(expression.base, names, derivation, layout)
        return power(base, Fraction(int(expression.exp.p), int(expression.exp.q)))
    parts = [_read(part, names, derivation, layout) for part in expression.args]
    return plus(*parts) if isinstance(expression, sp.Add) else times(*parts)
