"""The numbers of the page: a layer's derived programs, printed as JavaScript.

The source runs on either algebra of algebra.js: on plain doubles for values and gradients, on midpoint-radius pairs
for the truth and its tolerance. On the page a layer has one group of m elements and each parameter is one number, so
that layers which differ only in what they reduce are the same here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import resources
from itertools import count, cycle
from typing import Any

import numpy as np

from bncheck.bugs.catalogue.bug import Bug
from bncheck.bugs.expressions import (
    Expression,
    Held,
    Larger,
    Name,
    Number,
    Power,
    Product,
    Reduced,
    Sum,
    divides,
    plus,
    power,
    signed,
)
from bncheck.bugs.programs import DY, Program, Steps, elementary, gradient, in_front, local, programs, sent
from bncheck.bugs.roles import derived
from bncheck.case import Case, Layout
from bncheck.errors import InvalidInput
from bncheck.explorer.bugs import explanation, offered, place, term, title
from bncheck.explorer.formulas import Formulas
from bncheck.layers import LAYERS, Layer
from bncheck.report.notations import MathML, Unicode
from bncheck.trace import behind, trace

GROUP = Layout("N", reduced="N", affine="")
"""One group: its elements along N, every statistic and parameter one number."""

RUNNING: Mapping[str, float] = {"mean": 0.5, "var": 2.0}
"""The running statistics in which the page begins."""


def start(layer: Layer) -> Case:
    """The group in which the page begins."""
    x = [0.6, -1.1, 1.9, 0.2, -0.5, 1.3]
    dy = [0.8, -0.4, 0.5, 1.2, -0.9, 0.3]
    numbers = dict(zip(layer.parameters, cycle((np.array(1.5), np.array(-0.5), np.array(0.7))), strict=False))
    return Case(GROUP, np.array(x), np.array(dy), numbers, settings=layer.settings)


def script(layer: Layer) -> str:
    """JavaScript that defines `NUMBERS`, `RADII` and `LAYER`, what the page asks of a layer.

    It needs nothing else, and runs in a browser as in Node; the words in it are HTML where they are formulas.

    Raises
        InvalidInput: the layer has a state, returns more than y, or is a jvp.
        InvalidDefinition: the definition does something other than the elementary operations.
    """
    if not layer.is_plain:
        plain = ", ".join(name for name, known in LAYERS.items() if known.is_plain)
        raise InvalidInput("layer", layer.name, f"a plain layer: {plain}", "Or write FILE.py:NAME for your own.")
    room = resources.files("bncheck.explorer")
    algebra, questions = (room.joinpath(name).read_text("utf-8") for name in ("algebra.js", "layer.js"))
    body = "\n".join([algebra, _Printed(layer).source(), questions])
    return f"const {{NUMBERS, RADII, LAYER}} = (() => {{\n{body}return {{NUMBERS, RADII, LAYER}};\n}})();\n"


def key(label: str) -> str:
    """A step's label as the page has it; a definition can have no such name of its own either.

    >>> key("multiply 2")
    'multiply-2'
    """
    return label.replace(" ", "-")


Edges = Mapping[tuple[str, str], Expression]
"""Tail and head of every edge of a graph, and an expression that belongs to it."""


class _Printed:
    """One layer's programs as the object `DERIVED`, from which layer.js makes `LAYER`.

    Passes are printed once each, as functions of the algebra A, the values v and the gradients d; everything else
    names them by their number.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer, self.case = layer, start(layer)
        program, labels = elementary(layer, GROUP, layer.parameters)
        self.operators = {label: node for node, label in labels.items() if label in program.forward}
        self.named = trace(layer, GROUP, layer.parameters).named
        needed = {labels[node] for node in behind(self.named["y"]) if node in labels}
        self.steps = {label: step for label, step in program.forward.items() if label in needed}
        passed_on = {gradient(n): Name(DY) for n in self.steps if n != "y" and gradient(n) not in program.backward}
        self.program = replace(program, saved=program.forward, backward={**passed_on, **program.backward})
        self.nodes = ("x", *layer.parameters, *self.steps)
        self.axes = {**self.program.axes, **{gradient(n): self.program.axes[n] for n in self.nodes}}
        self.sent = self._edges(lambda head, step: sent(head, step, _arrived(head), GROUP, self.axes))
        self.local = self._edges(lambda head, step: local(head, step, GROUP, self.axes))
        self.html = Formulas(MathML(), self.program, self.operators)
        self.plain = Formulas(Unicode(), self.program, self.operators)
        self.passes: dict[tuple[tuple[str, Expression], ...], int] = {}

    def source(self) -> str:
        """The definition of `DERIVED`."""
        evaluation = None if self.layer.source else LAYERS.get(f"{self.layer.name}_eval")
        places = grid(self.steps, self.layer.parameters, self.axes)
        data = {
            "name": self.layer.name,
            "parameters": self.layer.parameters,
            "settings": {"eps": self.case.eps, **self.layer.settings},
            "start": self._start(evaluation),
            "nodes": [self._node(label, *places[label]) for label in self.nodes],
            "edges": [self._edge(*edge) for edge in self.sent],
            "elementary": self._program(self.program),
            "closed": self._program(self._closed()),
            "evaluation": evaluation and self._program(programs(evaluation, GROUP, evaluation.parameters)["equations"]),
            "bugs": [self._bug(bug) for bug in offered(self.layer, self.case)],
        }
        written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        lines = [f"{name}: {written(value)}," for name, value in data.items()]
        sends = [f"  {javascript(share)}," for share in self.sent.values()]
        ways = [f"  {json.dumps(key(way))}: {javascript(share)}," for way, share in self._ways()]
        lines += ["sends: (A, v, d) => [", *sends, "],", "ways: (A, v, d) => ({", *ways, "}),"]
        return "\n".join(["const DERIVED = {", *lines, "passes: [", *map(_function, self.passes), "],", "};", ""])

    def _program(self, program: Program) -> list[int]:
        """The numbers of a program's passes."""
        passes = (program.forward, program.saved, program.backward)
        return [self.passes.setdefault(tuple(steps.items()), len(self.passes)) for steps in passes]

    def _closed(self) -> Program:
        """The closed form from which the truth and its radius come, with the root in front of the sums as bncheck's."""
        parts = derived(self.layer, GROUP, self.layer.parameters)
        return in_front(parts.styles.get("written out", parts.closed))

    def _start(self, evaluation: Layer | None) -> dict[str, Any]:
        case = self.case
        return {
            "x": case.x.tolist(),
            "dy": case.dy.tolist(),
            "params": {name: float(value) for name, value in case.parameters.items()},
            "eps": case.eps,
            "running": dict(RUNNING) if evaluation else None,
        }

    def _edges(self, shares: Callable[[str, Expression], Iterable[tuple[str, Expression]]]) -> Edges:
        """What goes along every edge, from what a step shares out among the names that it reads."""
        edges: dict[tuple[str, str], list[Expression]] = {}
        for head, expression in self.steps.items():
            for tail, share in shares(head, expression):
                if tail in self.nodes:
                    edges.setdefault((tail, head), []).append(share)
        return {edge: plus(*parts) for edge, parts in edges.items()}

    def _ways(self) -> Iterator[tuple[str, Expression]]:
        """dx by the last mean on the way back to x, or direct where there is none."""
        means = [label for label, node in self.operators.items() if label in self.steps and node.operation == "mean"]
        for way in ("y", *means):
            received = {way: [_arrived(way)]}
            for label in reversed(self.steps):
                if label in received and (label == way or label not in means):
                    arrived = plus(*received[label])
                    for tail, share in sent(label, self.steps[label], arrived, GROUP, self.axes):
                        received.setdefault(tail, []).append(share)
            yield "direct" if way == "y" else way, plus(*received.get("x", ()))

    def _node(self, label: str, column: int, row: int) -> dict[str, Any]:
        index = "i" if self.axes[label] else ""
        kind = "input" if label not in self.steps else "named" if label in self.named else "step"
        shares = [share for (tail, _), share in self.sent.items() if tail == label]
        return {
            "key": key(label),
            "kind": kind,
            "shape": "elements" if index else "group",
            "label": self.html.name(label),
            "plain": self.plain.name(label),
            "formula": self.html.expression(self.steps[label], index) if label in self.steps else "",
            "gradient": self.html.gradient(label),
            "sweep": self.html.expression(plus(*shares), index) if shares else "",
            "inputs": [key(tail) for tail, head in self.sent if head == label],
            "column": column,
            "row": row,
        }

    def _edge(self, tail: str, head: str) -> dict[str, str]:
        derivative = self.local[tail, head]
        html, plain = self.html.expression(derivative), self.plain.expression(derivative)
        return {"tail": key(tail), "head": key(head), "local": html, "plain": plain}

    def _bug(self, bug: Bug) -> dict[str, Any]:
        edit = bug.edits(self.layer, GROUP, self.layer.parameters)[0]
        right = derived(self.layer, GROUP, self.layer.parameters).styles[edit.program.style]
        return {
            "slug": bug.id,
            "title": title(bug)._asdict(),
            "term": term(edit, right)._asdict(),
            "label": key(place(edit, right, self.program)),
            "explanation": explanation(bug)._asdict(),
            "program": self._program(edit.program),
        }


def _arrived(label: str) -> Expression:
    return Name(DY if label == "y" else gradient(label))


def grid(steps: Steps, parameters: Iterable[str], axes: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """A column and a row for every node, rows from above: the way from x to y below, the rest above, parameters last.

    A node stands to the right of all that it reads, and a parameter before what reads it first.

    >>> grid({"mean": Name("x"), "y": plus(Name("x"), Name("mean"))}, (), {"x": "N", "mean": "", "y": "N"})
    {'x': (0, 1), 'y': (2, 1), 'mean': (1, 0)}
    """
    column = {"x": 0, **dict.fromkeys(parameters, 0)}
    for label, expression in steps.items():
        column[label] = 1 + max((column[name] for name in expression.names if name in column), default=0)
    spine = ["y"]
    while spine[-1] != "x":
        read = [name for name in steps[spine[-1]].names if axes.get(name) and name in column]
        spine.append(max(read, key=lambda name: (column[name], name)))
    rows = dict.fromkeys(reversed(spine), 0)
    taken = {(column[label], 0) for label in spine}
    for label in (*(step for step in steps if step not in rows), *parameters):
        if label not in steps:
            column[label] = min(column[step] for step, expression in steps.items() if label in expression.names) - 1
        rows[label] = next(k for k in count(1) if (column[label], k if label in steps else -k) not in taken)
        rows[label] *= 1 if label in steps else -1
        taken.add((column[label], rows[label]))
    top = max(rows.values())
    return {label: (column[label], top - row) for label, row in rows.items()}


def javascript(expression: Expression) -> str:
    """An expression of a program as calls on an algebra A: values are in v, gradients in d.

    >>> from bncheck.bugs.expressions import over
    >>> javascript(over(plus(Name("x"), Name("∂var")), Name("m")))
    'A.div(A.add(v.x, d.var), v.m)'
    """
    if isinstance(expression, Name):
        if expression.label == DY or expression.label.startswith("∂"):
            return _member("d", "y" if expression.label == DY else expression.label[1:])
        return _member("v", expression.label)
    if isinstance(expression, Number):
        value = expression.fraction
        return str(value) if value.denominator == 1 else repr(float(value))
    if isinstance(expression, Sum):
        text = javascript(expression.terms[0])
        for term_, negative in map(signed, expression.terms[1:]):
            text = f"A.{'sub' if negative else 'add'}({text}, {javascript(term_)})"
        return text
    if isinstance(expression, Product):
        above, below = (_multiplied(f for f in expression.factors if divides(f) is under) for under in (False, True))
        return f"A.div({above or '1'}, {below})" if below else above
    if isinstance(expression, Power):
        halvings = expression.exponent.denominator.bit_length() - 1
        return f"A.power({javascript(expression.base)}, {halvings}, {expression.exponent.numerator})"
    if isinstance(expression, Reduced):
        body = javascript(expression.body)
        return f"A.{'mean' if expression.mean else 'sum'}({body})" if expression.axes else body
    if isinstance(expression, Larger):
        left, right = javascript(expression.left), javascript(expression.right)
        first = f"A.exceeds({left}, {right})"
        return first if expression.which else f"A.add(A.mul({first}, {left}), A.mul(A.sub(1, {first}), {right}))"
    assert isinstance(expression, Held)
    return javascript(expression.body)


def _multiplied(factors: Iterable[Expression]) -> str:
    text = ""
    for factor in factors:
        own = javascript(power(factor, -1) if divides(factor) else factor)
        text = f"A.mul({text}, {own})" if text else own
    return text


def _member(values: str, label: str) -> str:
    name = key(label)
    return f"{values}.{name}" if name.isidentifier() and name.isascii() else f"{values}[{json.dumps(name)}]"


def _function(steps: Iterable[tuple[str, Expression]]) -> str:
    """A pass as a function: it puts every step into v, or every gradient into d, and returns them."""
    lines = [f"  {javascript(Name(label))} = {javascript(expression)};" for label, expression in steps]
    kept = "d" if any(label.startswith("∂") for label, _ in steps) else "v"
    return "\n".join(["(A, v, d) => {", *lines, f"  return {kept};", "},"])


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
