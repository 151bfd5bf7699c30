"""The reverse sweep, a node at a time: which gradient comes next, by what equation, numbers and line of a program."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Case
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    from bncheck.figures.studio.computation import Computation
    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page
    from bncheck.figures.studio.textbook import Arithmetic
    from bncheck.trace import Node

ABOUT = About(
    title=Words("Consumers first, then the node", "先求后继，再求本节点"),
    reading=Words(
        "Going back, each node adds up what its consumers send it: their gradients times the local derivatives; what"
        " was shared by a group is summed over the group.",
        "反向逐个节点地求：把各后继的梯度乘以局部导数后相加；被整组共用的量，再对整组求和。",
    ),
    caption=Words(
        "Framed: this step's. Red: gradients known by now; values as in graph-values.",
        "加框：本步所求。红色：目前已知的梯度；数值见带数值的图。",
    ),
)

WORDS, LETTERS, LEADING = 0.345, 9.0, 1.45
"""The share of the page's width for words, the size of their letters at beamer169, and from line to line in letters."""


def order(found: Computation) -> list[Node]:
    """The nodes in the order in which their gradients become known: a parameter's as soon as it can be."""
    consumers = {node: {consumer for operand, consumer in found.edges() if operand is node} for node in found.nodes}
    ordered: list[Node] = []
    while len(ordered) < len(found.nodes):
        ready = [node for node in found.nodes if node not in ordered and consumers[node] <= {*ordered}]
        ordered.append(next((node for node in ready if not node.inputs and node.name != "x"), ready[-1]))
    return ordered


def frames(*, layer: Layer = LAYERS["batch_norm"]) -> int:
    """One frame for each gradient."""
    from bncheck.figures.studio.computation import computation

    return len(order(computation(layer)))


@figure
def draw(
    look: Look = Look(),
    seed: int = 0,
    *,
    layer: Layer = LAYERS["batch_norm"],
    case: Case | None = None,
    frame: int = 1,
) -> Page:
    """One frame of the sweep, counted from 1; of a case of one group if one is given."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.computation import computation
    from bncheck.figures.studio.group import numbered, small_case, worked
    from bncheck.figures.studio.page import checked_frame, new_page
    from bncheck.figures.studio.textbook import Arithmetic

    shown = case or small_case(layer, seed)
    found = computation(layer, shown.layout)
    arithmetic = Arithmetic(found, worked(found, shown))
    ordered = order(found)
    count = len(ordered)
    done, node = ordered[: checked_frame(frame, count)], ordered[frame - 1]
    note = f"{look.layer(layer.name)}  ·  {frame}/{count}"
    with new_page(ABOUT, look, seed, note, case.origin if case else "") as page:
        width, height = page.body[2:]
        share = (1 - WORDS) * width
        whole = _bare(numbered(layer, look, shown))
        axes = diagram.draw(page, _part(whole, found, done), (0, 0, share, height), like=whole)
        left = share + 8 * look.scale
        size = _size(arithmetic, look, (width - left, height))
        upper, lower = said(arithmetic, node, look, (width - left) / size)
        for lines, top in ((upper, height), (lower, len(lower) * LEADING * size)):
            for k, line in enumerate(lines):
                more: dict[str, Any] = {"family": "monospace"} if line.is_code else {}
                axes.text(left, top - (k + 0.5) * LEADING * size, line.text, fontsize=size, va="center_baseline",
                          color=look.colour(line.role), **more)  # fmt: skip
    return page


def _bare(whole: Diagram) -> Diagram:
    """A graph without its values, which leaves room for words."""
    return replace(whole, vertices=tuple(replace(vertex, values=()) for vertex in whole.vertices))


def _part(whole: Diagram, found: Computation, done: list[Node]) -> Diagram:
    """What is known by now, with the last gradient and what it comes from brought out."""
    known, lit = {found.keys[node] for node in done}, found.keys[done[-1]]
    vertices = [
        replace(v, pending=v.key not in known, boxed=v.key == lit, role="backward" if v.key == lit else "")
        for v in whole.vertices
    ]
    arrows = [replace(a, backward=a.tail in known, faint=a.tail != lit) for a in whole.arrows]
    return replace(whole, vertices=tuple(vertices), arrows=tuple(arrows))


def _size(arithmetic: Arithmetic, look: Look, room: tuple[float, float]) -> float:
    """The size of letters with which the words of every frame fit beside the graph."""
    from bncheck.figures.studio.page import text_size

    for size in np.arange(LETTERS, 4, -0.5) * look.scale:
        every = [said(arithmetic, node, look, room[0] / size) for node in arithmetic.found.nodes]
        lines = max(len(upper) + len(lower) for upper, lower in every)
        widest = max(text_size(line.text, 1.0).width for upper, _ in every for line in upper if line.text)
        if lines * LEADING * size <= room[1] and widest * size <= room[0]:
            break
    return float(size)


@dataclass(frozen=True)
class Line:
    """A line of words beside the graph."""

    text: str
    role: str = "forward"
    is_code: bool = False


def said(arithmetic: Arithmetic, node: Node, look: Look, width: float) -> tuple[list[Line], list[Line]]:
    """What stands beside the graph, above and at the foot: equation and numbers; code and shapes.

    `width` is that of a line, in letters.
    """
    from bncheck.figures.studio.textbook import Program

    found = arithmetic.found
    program, x = Program(found), arithmetic.done.value("x").shape
    left, *terms = equation(found, node)
    upper = [Line(f"${left}$", "backward"), *_formula(terms, width, "backward")]
    if not terms:
        upper.append(Line(look.say("comes from the loss", "由损失传来"), "backward"))
    upper += [Line(""), *_numbers(arithmetic, node, look, width)]
    pieces = re.split(r"(?<=\()|(?= [*/+] )|(?<=,)", program.line(node))
    code = _broken(pieces, lambda text: 0.61 * (len(text) + 2), width)
    lower = [Line(f"  {text.strip()}" if k else text, is_code=True) for k, text in enumerate(code)]
    before = next((consumer for operand, consumer in found.edges() if operand is node), node)
    for sizes in ([program.sizes(n, x) for n in (before, node)], [program.shape(n) for n in (before, node)]):
        ends = list(dict.fromkeys(map(_shape, sizes)))
        lower.append(Line(" → ".join(ends), "muted"))
    return upper, lower


def _shape(sizes: tuple[str, ...]) -> str:
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _numbers(arithmetic: Arithmetic, node: Node, look: Look, width: float) -> list[Line]:
    """The arithmetic of the first element in full, and what comes out in the others."""
    from bncheck.figures.studio.group import tex
    from bncheck.figures.studio.page import text_size

    terms = arithmetic.terms(node, 0)
    count = np.size(arithmetic.done.values[node])
    results = [tex(arithmetic.number(node, k, gradient=True)) for k in range(count)]
    equal = "=" if arithmetic.is_exact(node) else r"\approx"
    lines = [Line(look.say("element 1", "第 1 个元素") if count > 1 else look.say("one for all", "全组共用"), "muted")]
    if len(terms) == 1:
        terms = [terms[0][1:-1] if terms[0] == f"({results[0]})" else terms[0]]
    lines += _formula(terms if terms != results[:1] else [], width, "forward")
    lines.append(Line(f"${{}}{equal}{{{results[0]}}}$", "gradient"))
    if count > 1:
        lines.append(Line(look.say("the others", "其余元素"), "muted"))
        others = _broken([f"${result}$, " for result in results[1:]], lambda text: text_size(text, 1.0).width, width)
        lines += [Line(line.rstrip(", ") if line is others[-1] else line.rstrip(), "gradient") for line in others]
    return lines


def _formula(terms: list[str], width: float, role: str) -> list[Line]:
    """A sum in lines that start with = or a sign."""
    from bncheck.figures.studio.page import text_size

    pieces = [f"{{}}={terms[0]}", *(t if t.startswith("-") else f"+{t}" for t in terms[1:])] if terms else []
    broken = _broken([f"{{}}{piece}" for piece in pieces], lambda text: text_size(f"${text}$", 1.0).width, width)
    return [Line(f"${text}$", role) for text in broken]


def _broken(pieces: list[str], measure: Callable[[str], float], width: float) -> list[str]:
    """Pieces in as few lines as fit."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and measure(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return [line for line in lines if line]


def equation(found: Computation, node: Node) -> list[str]:
    """In mathtext, a node's gradient and the terms that it is the sum of; what a group shared is summed over it."""
    consumers = [consumer for operand, consumer in found.edges() if operand is node]
    return [gradient(found, node), *(_term(found, node, consumer) for consumer in reversed(consumers))]


def gradient(found: Computation, node: Node) -> str:
    """∂ℓ/∂node in mathtext."""
    formula = found.formulas[node]
    product = node.operation in ("multiply", "divide") and node not in found.graph.named.values()
    single = formula.bracketed(formula.loose or (product and len(formula.tex) > 1 and "^" not in formula.tex))
    return rf"\partial\ell/\partial {single.tex}"


def _term(found: Computation, node: Node, consumer: Node) -> str:
    local = found.local_derivative(node, consumer)
    over = r"\sum\," if set(node.axes) < set(consumer.axes) else ""
    return rf"{over}{gradient(found, consumer)}\cdot {local.bracketed(local.loose or local.tex[0] == '-').tex}"
