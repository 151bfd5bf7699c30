"""The reverse sweep, a node at a time: which gradient is found next, from which, and by what equation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    from bncheck.figures.studio.computation import Computation
    from bncheck.figures.studio.page import Page
    from bncheck.trace import Node

ABOUT = About(
    title=Words("The reverse sweep", "反向扫描"),
    reading=Words(
        "From right to left, each node adds up what its consumers send back, times the local derivatives.",
        "从右到左，每个节点把其后继传回的梯度乘以局部导数后相加。",
    ),
    caption=Words(
        "Boxed: found in this step. Above, green: values; below, red: gradients known by now.",
        "方框：本步所求。上方绿色：数值；下方红色：目前已知的梯度。",
    ),
)


def order(found: Computation) -> list[Node]:
    """The nodes in the order in which their gradients become known."""
    return [*reversed(found.nodes)]


def frames(*, layer: Layer = LAYERS["batch_norm"]) -> int:
    """One frame for each gradient."""
    from bncheck.figures.studio.computation import computation

    return len(order(computation(layer)))


def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"], frame: int = 1) -> Page:
    """One frame of the sweep, counted from 1."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.computation import computation
    from bncheck.figures.studio.group import numbered
    from bncheck.figures.studio.page import checked_frame, new_page

    found, whole = computation(layer), numbered(layer, look, seed)
    known = order(found)[: checked_frame(frame, frames(layer=layer))]
    keys = {found.keys[node] for node in known}
    lit = found.keys[known[-1]]
    vertices = [
        replace(
            vertex,
            below=vertex.below if vertex.key in keys else "",
            boxed=vertex.key == lit,
            role="backward" if vertex.key == lit else "",
        )
        for vertex in whole.vertices
    ]
    arrows = [replace(a, backward=a.backward and a.tail in keys, faint=a.tail != lit) for a in whole.arrows]
    part = replace(whole, vertices=tuple(vertices), arrows=tuple(arrows))
    note = f"{look.layer(layer.name)}  ·  {frame}/{frames(layer=layer)}"
    with new_page(ABOUT, look, seed, note) as page:
        width, height = page.body[2:]
        room = 34 * look.scale
        axes = diagram.draw(page, part, (0, room, width, height - room), like=whole)
        words: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "fontsize": 11 * look.scale,
            "color": look.colour("backward"),
        }
        axes.text(width / 2, room / 2, equation(found, known[-1], look), **words)
    return page


def equation(found: Computation, node: Node, look: Look = Look()) -> str:
    """The gradient of a node from those of its consumers; what was averaged or shared is summed up."""
    left = gradient(found, node)
    consumers = [consumer for operand, consumer in found.edges() if operand is node]
    if not consumers:
        return f"${left}$ " + look.say("comes from the loss", "由损失传来")
    return f"${left} = " + " + ".join(_term(found, node, consumer) for consumer in reversed(consumers)) + "$"


def gradient(found: Computation, node: Node) -> str:
    """∂ℓ/∂node in mathtext."""
    formula = found.formulas[node]
    product = node.operation in ("multiply", "divide") and node not in found.graph.named.values()
    single = formula.bracketed(formula.loose or (product and not formula.tex.endswith("^2")))
    return rf"\frac{{\partial\ell}}{{\partial {single.tex}}}"


def _term(found: Computation, node: Node, consumer: Node) -> str:
    local = found.local_derivative(node, consumer)
    over = r"\sum " if set(node.axes) < set(consumer.axes) else ""
    return rf"{over}{gradient(found, consumer)}\cdot {local.bracketed(local.loose or local.tex[0] == '-').tex}"
