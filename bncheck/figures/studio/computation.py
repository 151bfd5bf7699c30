"""A layer's definition as a diagram: one node for each elementary operation, with its local derivatives.

Everything is read off `bncheck.trace`: the same recording that the graph oracle differentiates. What a node holds is
written as a formula while that is short; longer ones get a letter, which the foot of the graph explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from bncheck.case import Layout
from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
from bncheck.figures.studio.look import Look
from bncheck.layers import Layer
from bncheck.trace import Graph, Node, trace

LONGEST = 12
"""How many letters a formula in a node may have before a letter of its own stands for it."""

LETTERS = "abcdfghkpqrtuvwz"
"""For what has no name in the definition and a long formula: in this order, as far as the definition leaves them."""


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
    """The graph of a layer on a layout, what each of its nodes is called, and in which named step it is computed.

    What a definition computes twice is one node; `copies` are those of the trace that it stands for. `letters` are the
    formulas that a letter stands for.
    """

    layer: Layer
    layout: Layout
    graph: Graph
    formulas: Mapping[Node, Formula]
    keys: Mapping[Node, str]
    steps: Mapping[Node, str]
    letters: Mapping[Node, Formula]
    copies: Mapping[Node, tuple[Node, ...]]

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
    graph, copies = _merged(trace(layer, layout, layer.parameters))
    used = _used(graph)
    names = {node: name for name, node in graph.named.items()}
    formulas: dict[Node, Formula] = {}
    letters: dict[Node, Formula] = {}
    free = iter(letter for letter in LETTERS if letter not in {*graph.inputs, *graph.named})
    for node in graph.nodes:
        formulas[node] = _formula(node, names.get(node), formulas, graph)
        if node in used and node not in names and len(formulas[node].typed) > LONGEST:
            letters[node] = formulas[node]
            letter = next(free, f"t_{{{len(letters)}}}")
            formulas[node] = Formula(letter, letter)
    keys = {node: _key(k, node, names) for k, node in enumerate(graph.nodes) if node in used}
    return Computation(layer, layout, graph, formulas, keys, _steps(graph, used), letters, copies)


def diagram(found: Computation, look: Look, *, derivatives: bool = True) -> Diagram:
    """The diagram of a computation, with a local derivative on each edge if wanted."""
    vertices = []
    for node in found.nodes:
        formula = found.formulas[node]
        kind = "input" if node.operation == "input" else "named" if node in set(found.graph.named.values()) else "step"
        written = _root(node, found) if formula.tex == "s" else formula
        vertices.append(Vertex(found.keys[node], f"${written.tex}$", written.typed, kind, found.steps.get(node, "")))
    arrows = []
    for operand, node in found.edges():
        local = found.local_derivative(operand, node)
        label, typed = (f"${local.tex}$", local.typed) if derivatives else ("", "")
        arrows.append(Arrow(found.keys[operand], found.keys[node], label, typed))
    titles = {step: look.say(*_TITLES.get(step, (step.replace("_", " "),) * 2)) for step in found.graph.named}
    legend = tuple(f"${found.formulas[node].tex}={formula.tex}$" for node, formula in found.letters.items())
    return Diagram(tuple(vertices), tuple(arrows), titles, legend=legend)


_TITLES = {
    "mean": ("mean", "均值"),
    "var": ("variance", "方差"),
    "mean_square": ("mean square", "均方"),
    "xhat": ("normalize", "标准化"),
    "y": ("affine", "仿射"),
}


def _merged(graph: Graph) -> tuple[Graph, Mapping[Node, tuple[Node, ...]]]:
    """The graph with each value computed once, and the nodes of the graph as it was that each node stands for."""
    first: dict[object, Node] = {}
    merged: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(merged[argument] for argument in node.inputs)
        same = (node.operation, inputs, node.name, node.value)
        new = node if inputs == node.inputs else replace(node, inputs=inputs)
        merged[node] = first.setdefault(same, new)
    named = {name: merged[node] for name, node in graph.named.items()}
    inputs_of = {name: merged[node] for name, node in graph.inputs.items()}
    copies = {new: tuple(node for node in graph.nodes if merged[node] is new) for new in first.values()}
    return Graph(tuple(first.values()), inputs_of, named, graph.differentiable), copies


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
    tex, typed = (notation.value(Shown.of(name), []) for notation in (Latex(), Unicode()))
    return Formula(tex.replace(r"\_", r"\ "), typed.replace("_", " "))


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
    base, exponent = _power(node, known)
    if exponent > 1:
        factor = known[base].bracketed(len(known[base].tex) > 1)
        return Formula(f"{factor.tex}^{exponent}", f"{factor.typed}{'⁰¹²³⁴⁵⁶⁷⁸⁹'[exponent % 10]}")
    gap = r"\," if a.tex.startswith("\\") else ""
    return Formula(f"{a.tex}{gap}{b.tex}", f"{a.typed}·{b.typed}")


def _root(node: Node, found: Computation) -> Formula:
    """The only root of a definition, which is called s, with what it is the root of."""
    return Formula(r"s=\sqrt{\cdot}", f"s = √({found.formulas[node.inputs[0]].typed})")


def _power(node: Node, known: Mapping[Node, Formula]) -> tuple[Node, int]:
    """What a product of equal factors is a power of, and which."""
    if node.operation != "multiply":
        return node, 1
    (base, k), (other, more) = (_power(factor, known) for factor in node.inputs)
    return (base, k + more) if known[base] == known[other] else (node, 1)
