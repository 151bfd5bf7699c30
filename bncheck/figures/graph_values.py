"""The computation graph with numbers: in each node its values, and beside them its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Case
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.page import Page


def about(eps: str) -> About:
    """The figure's words, with the ε of its case."""
    return About(
        title=Words("Values there, gradients back", "数值向前，梯度返回"),
        reading=Words(
            "The numbers of a group go through every stage, in green on the left; their gradients come back, in red on"
            " the right.",
            "一组数经过每一步，左列绿色；它们的梯度返回，右列红色。",
        ),
        caption=Words(
            rf"Left, green: values; $\varepsilon={eps}$. Right, red: $\partial\ell/\partial$ of each; $y$'s comes from"
            " the loss.",
            rf"左列绿色：数值；$\varepsilon={eps}$。右列红色：各自的 $\partial\ell/\partial$；$y$ 的由损失传来。",
        ),
    )


ABOUT = about("10^{-5}")


@figure
def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"], case: Case | None = None) -> Page:
    """The figure for a layer, and for a case of one group if one is given."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.group import column, numbered, small_case, tex
    from bncheck.figures.studio.page import new_page

    shown = case or small_case(layer, seed)
    words = about(tex(*column(np.array(shown.eps))))
    with new_page(words, look, seed, look.layer(layer.name), case.origin if case else "") as page:
        diagram.draw(page, numbered(layer, look, shown))
    return page


def dot(look: Look = Look(), *, layer: Layer = LAYERS["batch_norm"], case: Case | None = None) -> graphviz.Digraph:
    """The same graph in DOT, with the numbers of seed 0 or of a case."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.group import numbered, small_case

    return diagram.dot_of(numbered(layer, look, case or small_case(layer, 0)), "graph_values")
