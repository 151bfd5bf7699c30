"""Gradients of weights and inputs against the weights' scale, without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.figures.studio.saturation import batch_norm_case, digits
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Larger weights, smaller gradients", "权重越大，梯度越小"),
    reading=Words(
        "With batch norm, weights a times as large get gradients 1/a times as large and pass the same gradient on: they"
        " stop growing by themselves.",
        "有了批归一化，权重放大 a 倍，其梯度缩小为 1/a，而向下传递的梯度不变：权重会自行停止增长。",
    ),
    caption=Words(
        r"BN($aWu$) beside $aWu$ on 64 real digits $u$, the same random gradient behind; norms relative to $a=1$.",
        r"在 64 张真实手写数字 $u$ 上比较 BN($aWu$) 与 $aWu$，输出端的随机梯度相同；范数相对于 $a=1$。",
    ),
)

SCALES = 10.0 ** np.linspace(-1, 2, 13)

UNITS = 32


class Norms(NamedTuple):
    """Norms of the gradients with respect to aW and to u, for each a, relative to those at a = 1."""

    weights: Array
    inputs: Array


def norms(seed: int, with_batch_norm: bool) -> Norms:
    """The gradients of one linear layer, followed by batch norm or not."""
    rng = np.random.default_rng(seed)
    u = digits(rng)
    weights = rng.normal(size=(u.shape[1], UNITS)) / u.shape[1] ** 0.5
    dy = rng.normal(size=(len(u), UNITS))
    found = []
    for a in (1.0, *SCALES):
        dz = dy
        if with_batch_norm:
            dz = graph.vjp(LAYERS["batch_norm"], batch_norm_case(u @ (a * weights), dy))["dx"]
        found.append((np.linalg.norm(u.T @ dz), np.linalg.norm(dz @ (a * weights).T)))
    of_weights, of_inputs = np.array(found[1:]).T / np.array(found[0])[:, None]
    return Norms(of_weights, of_inputs)


def slope(values: Array) -> float:
    """The power of a with which a norm goes."""
    return float(np.polyfit(np.log(SCALES), np.log(values), 1)[0])


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(1, 2, sharex=True, sharey=True)
        off, on = look.say("without batch norm", "没有批归一化"), look.say("with batch norm", "有批归一化")
        names = {"without": off, "with": on}
        for role, with_batch_norm in (("without", False), ("with", True)):
            for axes, values, higher in zip(panels, norms(seed, with_batch_norm), (14, -14), strict=True):
                _line(axes, look, role, names[role], values, higher)
        panels[0].set_title(look.say("gradient of the weights $aW$", "权重 $aW$ 的梯度"))
        panels[1].set_title(look.say("gradient of the inputs $u$", "输入 $u$ 的梯度"))
        for axes in panels:
            axes.set(xscale="log", yscale="log", xlim=(0.08, 125), ylim=(3e-3, 300), xlabel="$a$")
            axes.minorticks_off()
        panels[0].set_ylabel(look.say("norm", "范数"))
        page.key(panels[0])
    return page


def _line(axes: Axes, look: Look, role: str, label: str, values: Array, higher: float) -> None:
    axes.plot(SCALES, values, **look.marked(role, label=label, ms=4.5 * look.scale))
    said = look.say("slope ", "斜率 ") + number(round(slope(values), 2), "g")
    side = "center" if abs(slope(values)) < 0.5 else "left"
    axes.annotate(said, (10, values[8]), **look.beside(0, higher, ha=side, weight="bold", color=look.colour(role)))
