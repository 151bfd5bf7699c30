"""Three features on their way from x through x̂ to y."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

COUNT = 16

ABOUT = About(
    title=Words("Whatever comes in, β ± γ goes out", "无论输入如何，输出都是 β ± γ"),
    reading=Words(
        "Three features with means and spreads of their own all become 0 ± 1, each keeping its shape, and then what γ"
        " and β say.",
        "三个各有均值和离散程度的特征都变为 0 ± 1，各自形状不变，然后由 γ 和 β 决定。",
    ),
    caption=Words(
        f"Three features of {COUNT} real wines, a point for each wine, each panel on its own scale; mean ± standard"
        " deviation.",
        f"{COUNT} 种真实葡萄酒的三个特征，每点是一种酒，各图刻度不同。数字：均值 ± 标准差。",
    ),
)

FEATURES = {"alcalinity_of_ash": (2.0, 12.0), "alcohol": (0.5, 20.0), "color_intensity": (1.0, 4.0)}
"""Columns of scikit-learn's wine data, each with its γ and β."""


ROLES = ("first", "second", "fourth")


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


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(1, 3)
        titles = "$x$", r"$\hat{x} = (x - \mu)\,/\,\sqrt{\sigma^2 + \varepsilon}$", r"$y = \gamma\,\hat{x} + \beta$"
        for axes, title, values in zip(panels, titles, stages(seed).values(), strict=True):
            _stage(axes, look, values)
            axes.set_title(title)
        page.key(panels[0])
    return page


def _stage(axes: Axes, look: Look, values: Array) -> None:
    """Each feature in a column of its own: its values, beside them mean and spread, above them these in numbers."""
    names = look.say("alkalinity", "灰分碱度"), look.say("alcohol", "酒精"), look.say("colour", "色度")
    low, high = values.min(), values.max()
    for k, (role, name) in enumerate(zip(ROLES, names, strict=True)):
        feature = values[:, k]
        mean, spread = feature.mean(), feature.std()
        faint = look.points(role, ms=3.6 * look.scale, alpha=0.45, markeredgewidth=0)
        axes.plot(np.full(COUNT, k - 0.16), feature, **faint)
        axes.vlines(k + 0.16, mean - spread, mean + spread, color=look.colour(role), lw=2.2 * look.scale)
        axes.plot(k + 0.16, mean, **look.points(role, ms=6 * look.scale, label=name))
        said = f"{number(mean, '.1f')}\n± {spread:.1f}"
        axes.text(k, high + 0.06 * (high - low), said, ha="center", color=look.colour(role))
    axes.set(xlim=(-0.55, 2.55), ylim=(low - 0.05 * (high - low), high + 0.34 * (high - low)), xticks=[])
    axes.locator_params(axis="y", nbins=5)
