"""A layer's definition as a diagram: one node for each elementary operation, with its local derivatives.

Everything is read off `bncheck.trace`: the same recording that the graph oracle differentiates. What a node holds is
written as a formula while that is short, and as its operation otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bncheck.case import Layout
from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
from bncheck.figures.studio.look import Look
from bncheck.layers import Layer
from bncheck.trace import Graph, Node, trace

LONGEST = 12
"""How many letters a formula in a node or on an edge may have; longer ones give way to the operation, or to dots."""


class Formula(NamedTuple):
    """A formula in mathtext and in plain letters, and whether it needs brackets beside a factor or under a power."""

    tex: str
    typed: str
    loose: bool = False

    def bracketed(self, needed: bool = True) -> Formula:
        """The same in brackets, where needed."""
        return Formula(f"({self.tex})", f"({self.typed})") if needed else self


@dataclass(frozen=True)
class Computation:
    """The graph of a layer on a layout, what each of its nodes is called, and in which named step it is computed."""

    layer: Layer
    graph: Graph
    formulas: Mapping[Node, Formula]
    keys: Mapping[Node, str]
    steps: Mapping[Node, str]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are drawn, in the order of the forward pass: all but constants, of which ε is one."""
        return tuple(node for node in self.graph.nodes if node in self.keys)

    def edges(self) -> list[tuple[Node, Node]]:
        """From each operand to each operation, once, in the order of the forward pass."""
        pairs = [(operand, node) for node in self.nodes for operand in node.inputs if operand in self.keys]
        return list(dict.fromkeys(pairs))

    def local_derivative(self, operand: Node, node: Node) -> Formula:
        """∂node/∂operand, in the symbols of the nodes; a mean's is one number, the same for each element."""
        parts = [self._partial(node, k) for k, argument in enumerate(node.inputs) if argument is operand]
        if len(parts) == 2 and parts[0] == parts[1]:
            return Formula("2" + parts[0].bracketed(parts[0].loose).tex, "2" + parts[0].bracketed(parts[0].loose).typed)
        return _sum(parts)

    def _partial(self, node: Node, position: int) -> Formula:
        own = self.formulas[node]
        names = [self.formulas[argument] for argument in node.inputs]
        if node.operation in ("add", "subtract", "negative"):
            minus = node.operation == "negative" or (node.operation == "subtract" and position == 1)
            return Formula("-1", "-1") if minus else Formula("1", "1")
        if node.operation == "multiply":
            return names[1 - position]
        if node.operation == "divide":
            over = names[1].bracketed(names[1].loose)
            if position == 0:
                return Formula(f"1/{over.tex}", f"1/{over.typed}")
            top = own.bracketed(own.loose)
            return Formula(f"-{top.tex}/{over.tex}", f"-{top.typed}/{over.typed}")
        if node.operation == "sqrt":
            return Formula(f"1/(2{own.tex})", f"1/(2{own.typed})")
        return Formula("1/m", "1/m")


def _sum(parts: list[Formula]) -> Formula:
    if len(parts) == 1:
        return parts[0]
    return Formula("+".join(p.tex for p in parts), "+".join(p.typed for p in parts), loose=True)


def computation(layer: Layer, layout: Layout | None = None) -> Computation:
    """Traces a layer and names what it computes.

    >>> from bncheck.layers import LAYERS
    >>> found = computation(LAYERS["rms_norm"])
    >>> [found.formulas[node].typed for node in found.nodes]
    ['x', 'γ', 'x²', 'ρ', 'ρ + ε', 's', 'x̂', 'y']
    """
    layout = layout or layer.layouts[0]
    graph = trace(layer, layout, layer.parameters)
    used = _used(graph)
    names = {node: name for name, node in graph.named.items()}
    formulas: dict[Node, Formula] = {}
    for node in graph.nodes:
        formulas[node] = _formula(node, names.get(node), formulas, graph)
    keys = {node: _key(k, node, names) for k, node in enumerate(graph.nodes) if node in used}
    return Computation(layer, graph, formulas, keys, _steps(graph, used))


def diagram(found: Computation, look: Look, *, derivatives: bool = True) -> Diagram:
    """The diagram of a computation, with a local derivative on each edge if wanted."""
    vertices = []
    for node in found.nodes:
        formula = found.formulas[node]
        kind = "input" if node.operation == "input" else "named" if node in set(found.graph.named.values()) else "step"
        written = formula if len(formula.typed) <= LONGEST else _operation(node)
        written = _root(node, found) if node.operation == "sqrt" else written
        vertices.append(Vertex(found.keys[node], f"${written.tex}$", written.typed, kind, found.steps.get(node, "")))
    arrows = []
    for operand, node in found.edges():
        local = found.local_derivative(operand, node)
        tex = local.tex if len(local.typed) <= LONGEST else r"\cdots"
        label, typed = (f"${tex}$", local.typed) if derivatives else ("", "")
        arrows.append(Arrow(found.keys[operand], found.keys[node], label, typed))
    titles = {step: look.say(*_TITLES.get(step, (step, step))) for step in found.graph.named}
    return Diagram(tuple(vertices), tuple(arrows), titles)


_TITLES = {
    "mean": ("mean", "均值"),
    "var": ("variance", "方差"),
    "mean_square": ("mean square", "均方"),
    "xhat": ("normalize", "标准化"),
    "y": ("affine", "仿射"),
}


def _used(graph: Graph) -> set[Node]:
    used: set[Node] = set()
    pending = [graph.named["y"], *graph.named.values()]
    while pending:
        node = pending.pop()
        if node not in used and node.operation != "constant" and node.name != "eps":
            used.add(node)
            pending.extend(node.inputs)
    return used


def _steps(graph: Graph, used: set[Node]) -> dict[Node, str]:
    """Each node belongs to the first named step that needs it; inputs to none."""
    steps: dict[Node, str] = {}
    for name, last in graph.named.items():
        pending = [last]
        while pending:
            node = pending.pop()
            if node in used and node.inputs and node not in steps:
                steps[node] = name
                pending.extend(node.inputs)
    return steps


def _key(k: int, node: Node, names: Mapping[Node, str]) -> str:
    return node.name or names.get(node) or f"{node.operation}_{k}"


def symbol(name: str) -> Formula:
    """How a named value is written."""
    from bncheck.report.notations import Latex, Unicode
    from bncheck.report.writer import Shown

    if name == "eps":
        return Formula(r"\varepsilon", "ε")
    return Formula(Latex().value(Shown.of(name), []), Unicode().value(Shown.of(name), []))


def _formula(node: Node, name: str | None, known: Mapping[Node, Formula], graph: Graph) -> Formula:
    """A node's name if it has one, else what it computes in the names of others."""
    if node.operation == "input" or name:
        return symbol(node.name or str(name))
    if node.operation == "constant":
        return Formula(f"{node.value:g}", f"{node.value:g}")
    arguments = [known[argument] for argument in node.inputs]
    if node.operation == "add":
        a, b = arguments
        return Formula(f"{a.tex}+{b.tex}", f"{a.typed} + {b.typed}", loose=True)
    if node.operation == "subtract":
        a, b = arguments[0], arguments[1].bracketed(arguments[1].loose)
        return Formula(f"{a.tex}-{b.tex}", f"{a.typed} − {b.typed}", loose=True)
    if node.operation == "negative":
        a = arguments[0].bracketed(arguments[0].loose)
        return Formula(f"-{a.tex}", f"−{a.typed}", loose=True)
    if node.operation == "sqrt":
        alone = [other for other in graph.nodes if other.operation == "sqrt"] == [node]
        return Formula("s", "s") if alone else Formula(rf"\sqrt{{{arguments[0].tex}}}", f"√({arguments[0].typed})")
    if node.operation == "mean":
        return Formula(rf"\overline{{{arguments[0].tex}}}", f"mean({arguments[0].typed})")
    a, b = (argument.bracketed(argument.loose) for argument in arguments)
    if node.operation == "divide":
        return Formula(f"{a.tex}/{b.tex}", f"{a.typed}/{b.typed}")
    if node.inputs[0] is node.inputs[1]:
        squared = a if len(a.tex) == 1 or a.tex[0] == "(" else a.bracketed()
        return Formula(f"{squared.tex}^2", f"{squared.typed}²")
    gap = r"\," if a.tex.startswith("\\") else ""
    return Formula(f"{a.tex}{gap}{b.tex}", f"{a.typed}·{b.typed}")


def _root(node: Node, found: Computation) -> Formula:
    inner, own = found.formulas[node.inputs[0]], found.formulas[node]
    if own.tex != "s":
        return own if len(own.typed) <= LONGEST else _operation(node)
    return Formula(r"s=\sqrt{\cdot}", f"s = √({inner.typed})")


_OPERATIONS = {"add": "+", "subtract": "-", "multiply": r"\times", "divide": r"\div", "sqrt": r"\sqrt{\;\;}",
               "negative": "-", "mean": r"\mathrm{mean}"}  # fmt: skip


def _operation(node: Node) -> Formula:
    return Formula(_OPERATIONS[node.operation], node.operation)
