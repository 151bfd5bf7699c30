"""The Jacobian of a normalized group, its two null directions, and its singular values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number, scientific
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

COUNT = 5

ABOUT = About(
    title=Words("Two directions never get through", "有两个方向永远通不过"),
    reading=Words(
        "The gradient of a group loses its mean and its part along x̂; all other directions are divided by s.",
        "一组的梯度失去其均值和沿 x̂ 的分量；所有其他方向都除以 s。",
    ),
    caption=Words(
        f"One group of {COUNT} values from a standard normal, ε = 10⁻⁵, s = √(σ² + ε). Along 1 nothing passes; along x̂"
        " only what ε leaves.",
        f"一组 {COUNT} 个标准正态值，ε = 10⁻⁵，s = √(σ² + ε)。沿 1 什么都不通过；沿 x̂ 只剩 ε 留下的部分。",
    ),
)


class Jacobian(NamedTuple):
    """∂x̂/∂x of one group, the group's x̂ and standard deviation s, and the singular values, largest first."""

    matrix: Array
    xhat: Array
    s: float
    singular: Array


def jacobian(seed: int) -> Jacobian:
    """Row i is the gradient of x̂[i]: the group stands in as many channels, each with one element of dy set."""
    x = np.random.default_rng(seed).normal(size=(COUNT, 1))
    case = Case(Layout("NC", "N", "C"), np.tile(x, COUNT), np.eye(COUNT))
    done = graph.sweep(LAYERS["batch_norm"], case)
    matrix = done.gradient("x").T
    spread = float(np.sqrt(done.value("var")[0, 0] + case.eps))
    return Jacobian(matrix, done.value("xhat")[:, 0], spread, np.linalg.svd(matrix, compute_uv=False))


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = jacobian(seed)
    with new_page(ABOUT, look, seed) as page:
        matrix, null, singular = page.subplots(1, 3, width_ratios=(COUNT, 2.2, 3.2))
        _cells(matrix, look, found.matrix)
        matrix.set_title(r"$\partial\hat{x}_i\,/\,\partial x_j$")
        _cells(null, look, np.stack([np.ones(COUNT), found.xhat], axis=1))
        null.set_title(look.say("null directions", "零方向"))
        null.set_xticks([0, 1], ["$1$", r"$\hat{x}$"])
        _values(singular, look, found)
    return page


def _cells(axes: Axes, look: Look, values: Array) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    ends = [look.tint("second", 0.75), look.colour("paper"), look.tint("first", 0.75)]
    limit = float(np.abs(values).max())
    colours = LinearSegmentedColormap.from_list("signed", ends)
    axes.imshow(values, cmap=colours, vmin=-1.3 * limit, vmax=1.3 * limit, interpolation="none", aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axes.text(j, i, number(value, ".2f"), ha="center", va="center")
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _values(axes: Axes, look: Look, found: Jacobian) -> None:
    rows = np.arange(COUNT)
    singular = np.where(found.singular > 1e-12, found.singular, 0)  # rounding leaves no exact zero
    axes.hlines(rows, 0, singular, color=look.colour("with"), lw=2 * look.scale)
    axes.plot(singular, rows, **look.points("with", ms=5 * look.scale, clip_on=False))
    axes.set_title(look.say("singular values", "奇异值"))
    largest = float(singular[0])
    axes.annotate(f"$1/s = {1 / found.s:.2f}$", (largest, 0), **look.beside(0, -10, ha="right", weight="bold"))
    for row, name in zip(rows[-2:], (r"$\hat{x}$", "$1$"), strict=True):
        said = f"{name}: {scientific(singular[row]) if singular[row] else '$0$'}"
        axes.annotate(said, (0, row), **look.beside(7, 0, ha="left"))
    axes.set(xlim=(0, 1.04 * largest), ylim=(COUNT - 0.5, -0.5), xticks=[0], yticks=[])
