"""Three features on their way from x through x̂ to y."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Whatever comes in, β ± γ goes out", "无论输入如何，输出都是 β ± γ"),
    reading=Words(
        "Three features with means and spreads of their own all become 0 ± 1, and then what γ and β say.",
        "三个各有均值和离散程度的特征都变为 0 ± 1，然后由 γ 和 β 决定。",
    ),
    caption=Words(
        "Three features of 16 real wines, a line for each; mean ± standard deviation.",
        "16 种真实葡萄酒的三个特征；每条线是一种酒。数字：均值 ± 标准差。",
    ),
)

COUNT = 16

FEATURES = {"alcalinity_of_ash": (2.0, 12.0), "alcohol": (0.5, 20.0), "color_intensity": (1.0, 4.0)}
"""Columns of scikit-learn's wine data, each with its γ and β."""


def stages(seed: int) -> dict[str, Array]:
    """x, x̂ and y of a batch of wines, each of shape (16, 3)."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    columns = [wine.feature_names.index(name) for name in FEATURES]
    rows = np.random.default_rng(seed).choice(len(wine.data), size=COUNT, replace=False)
    x = wine.data[np.ix_(rows, columns)]
    gamma, beta = np.array(list(FEATURES.values())).T
    case = Case(Layout("NC", "N", "C"), x, np.zeros_like(x), {"gamma": gamma, "beta": beta})
    done = graph.sweep(LAYERS["batch_norm"], case)
    return {name: done.value(name) for name in ("x", "xhat", "y")}


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = stages(seed)
    with new_page(ABOUT, look, seed) as page:
        axes = page.subplots()
        for k, role in enumerate(("first", "second", "fourth")):
            _feature(axes, look, role, k, [values[:, k] for values in found.values()])
        spread = sorted({_told(values) for values in found["xhat"].T})
        axes.text(1, -5, ", ".join(spread), ha="center", va="center", weight="bold")
        axes.set_xticks([0, 1, 2], ["$x$", r"$\hat{x}$", "$y$"], fontsize="x-large")
        axes.set(xlim=(-0.95, 2.6), ylim=(-7, float(found["x"].max()) + 1), yticks=[])
        axes.spines.left.set_visible(False)
    return page


def _feature(axes: Axes, look: Look, role: str, k: int, stages: list[Array]) -> None:
    columns = np.arange(3) + (k - 1) * 0.04
    axes.plot(columns, np.array(stages), **look.line(role, lw=0.6 * look.scale, alpha=0.7))
    points = look.points(role, ms=6 * look.scale, lw=2 * look.scale, zorder=4)
    for column, values in zip(columns, stages, strict=True):
        axes.errorbar(column, values.mean(), values.std(), **points)
    words: dict[str, Any] = {"va": "center", "weight": "bold", "color": look.colour(role)}
    name = (look.say("alkalinity", "灰分碱度"), look.say("alcohol", "酒精"), look.say("colour", "色度"))[k]
    axes.text(-0.13, stages[0].mean(), f"{name}  {_told(stages[0])}", ha="right", **words)
    axes.text(2.13, stages[2].mean(), _told(stages[2]), ha="left", **words)


def _told(values: Array) -> str:
    return f"{number(values.mean(), '.1f')} ± {values.std():.1f}"
