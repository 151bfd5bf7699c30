"""The computation graph with numbers: each node's value above it, its gradient below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("A group of four, there and back", "四个元素的一组，前向与反向"),
    reading=Words(
        "Four numbers go through every stage, in green above; their gradients come back, in red below.",
        "四个数经过每一步，绿色写在上方；它们的梯度返回，红色写在下方。",
    ),
    caption=Words(
        r"Above, green: values; $\varepsilon=10^{-5}$. Below, red: $\partial\ell/\partial$ of each; $y$'s comes from"
        " the loss.",
        r"上方绿色：数值；$\varepsilon=10^{-5}$。下方红色：各自的 $\partial\ell/\partial$；$y$ 下方是损失传来的梯度。",
    ),
)


def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"]) -> Page:
    """The figure for a layer."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.group import numbered
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed, look.layer(layer.name)) as page:
        diagram.draw(page, numbered(layer, look, seed))
    return page


def dot(look: Look = Look(), *, layer: Layer = LAYERS["batch_norm"]) -> graphviz.Digraph:
    """The same graph in DOT, with the numbers of seed 0."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.group import numbered

    return diagram.dot_of(numbered(layer, look, 0), "graph_values")
