"""The computation graph of a layer, stage by stage, with the local derivative on each edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Every step has its own derivative", "每一步都有自己的导数"),
    reading=Words(
        "Values flow right along the solid lines; gradients flow back along the dashed ones, on each times the"
        " derivative written there.",
        "数值沿实线向右流动；梯度沿虚线返回，每经过一条边就乘以边上所写的导数。",
    ),
    caption=Words(
        "Solid: forward. Dashed, red: backward, times the derivative there; branches add up.",
        "实线：前向。红色虚线：反向，乘以边上的导数；汇合处梯度相加。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"]) -> Page:
    """The figure for a layer."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.computation import computation
    from bncheck.figures.studio.computation import diagram as diagram_of
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed, look.layer(layer.name)) as page:
        diagram.draw(page, diagram_of(computation(layer), look))
    return page


def dot(look: Look = Look(), *, layer: Layer = LAYERS["batch_norm"]) -> graphviz.Digraph:
    """The same graph in DOT."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.computation import computation
    from bncheck.figures.studio.computation import diagram as diagram_of

    return diagram.dot_of(diagram_of(computation(layer), look), "graph_staged")
