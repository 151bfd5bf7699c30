"""What eps does: the spread of x̂ and the size of the gradient against the standard deviation of x."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, scientific
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words(r"Below $\sqrt{\varepsilon}$ nothing is normalized", r"低于 $\sqrt{\varepsilon}$ 就没有归一化"),
    reading=Words(
        "Where the standard deviation is below √ε, x̂ stays small and its gradient stops growing at 1/√ε: eps is a"
        " choice, not a detail.",
        "当标准差低于 √ε 时，x̂ 保持很小，其梯度止于 1/√ε：eps 是一种选择，而不是细节。",
    ),
    caption=Words(
        r"The same 64 values, scaled; $\varepsilon$ as in Keras, PyTorch, and a smaller one."
        r" Marks: $\sigma = \sqrt{\varepsilon}$.",
        r"同样的 64 个值，经缩放；$\varepsilon$ 取 Keras、PyTorch 的默认值和一个更小的值。"
        r"标记：$\sigma = \sqrt{\varepsilon}$。",
    ),
)

COUNT = 64

EPS = (1e-3, 1e-5, 1e-8)

SPREADS = 10.0 ** np.linspace(-6, 1, 43)
"""Standard deviations of x."""


class Regime(NamedTuple):
    """For each standard deviation of x: that of x̂, and the largest factor by which dx̂ is multiplied."""

    spread: Array
    gain: Array


def regime(seed: int, eps: float) -> Regime:
    """All spreads side by side as the channels of one batch; dy lies in neither null direction of the Jacobian."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, COUNT))
    x = (x - x.mean()) / x.std()
    dy = dy - dy.mean() - x * (x * dy).mean()
    case = Case(Layout("NC", "N", "C"), x[:, None] * SPREADS, np.tile(dy[:, None], len(SPREADS)), eps=eps)
    done = graph.sweep(LAYERS["batch_norm"], case)
    return Regime(
        done.value("xhat").std(axis=0), np.linalg.norm(done.gradient("x"), axis=0) / float(np.linalg.norm(dy))
    )


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(1, 2, sharex=True)
        for role, eps in zip(("first", "second", "fourth"), EPS, strict=True):
            for axes, values in zip(panels, regime(seed, eps), strict=True):
                _line(axes, look, role, eps, values)
        panels[0].set_title(look.say(r"standard deviation of $\hat{x}$", r"$\hat{x}$ 的标准差"))
        panels[1].set_title(look.say("largest gain of the gradient", "梯度的最大增益"))
        panels[0].set(ylim=(0, 1.08), yticks=[0, 0.5, 1])
        panels[1].set(yscale="log", ylim=(0.05, 1e5))
        for axes in panels:
            axes.set(xscale="log", xlim=(SPREADS[0], SPREADS[-1]), xticks=[1e-6, 1e-4, 1e-2, 1])
            axes.set_xlabel(look.say(r"standard deviation of $x$", r"$x$ 的标准差"))
            axes.minorticks_off()
        page.key(panels[0])
    return page


def _line(axes: Axes, look: Look, role: str, eps: float, values: Array) -> None:
    """The line, with a mark where the variance is ε."""
    edge = int(np.abs(np.log(SPREADS**2 / eps)).argmin())
    style = look.marked(role, ms=6 * look.scale, markevery=[edge], zorder=3)
    axes.plot(SPREADS, values, **style, label=rf"$\varepsilon = $ {scientific(eps)}")
