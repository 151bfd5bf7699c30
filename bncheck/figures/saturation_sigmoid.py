"""The sigmoid, its slope, and where pre-activations lie, without batch normalization and with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Batch norm keeps the sigmoid responsive", "批归一化让 sigmoid 保持灵敏"),
    reading=Words(
        "Without batch norm half of the pre-activations lie where the sigmoid hardly moves; with it none do, and γ and"
        " β can bring them back there.",
        "没有批归一化时，一半的预激活值落在 sigmoid 几乎不动的区域；有了它则没有，而 γ 和 β 可以把它们带回去。",
    ),
    caption=Words(
        "Saturated (hatched): slope below 5 % of its maximum. Grey: 100 units, 64 real digits, random weights.",
        "饱和区（斜线）：斜率低于最大值的 5 %。灰色：100 个单元、64 张真实手写数字、随机权重。",
    ),
)

SHARE = 0.05
"""A unit is saturated where its slope is below this share of the largest one."""

UNITS, BATCH, WEIGHT, REACH = 100, 64, 0.1, 16.0
"""Units, digits in the batch, the standard deviation of the weights on pixels from 0 to 16, and how far z is shown."""

AFFINE = ((1.0, 0.0), (4.0, 0.0), (2.0, 4.0))
"""The values of γ and β that are shown."""


class Batch(NamedTuple):
    """Pre-activations, and their share on the left and on the right of where the sigmoid responds."""

    z: Array
    left: float
    right: float


def sigmoid(z: Array) -> Array:
    """1 / (1 + e⁻ᶻ).

    >>> float(sigmoid(np.array(0.0)))
    0.5
    """
    return np.asarray(1 / (1 + np.exp(-z)))


def edge() -> float:
    """The z from which on the sigmoid is saturated: where s(1 − s) is `SHARE` of 1/4.

    >>> round(edge(), 2)
    4.36
    """
    s = (1 + (1 - SHARE) ** 0.5) / 2
    return float(np.log(s / (1 - s)))


def batches(seed: int) -> Mapping[tuple[float, float] | None, Batch]:
    """The pre-activations without batch norm, under None, and with it, under (γ, β)."""
    x = pre_activations(seed)
    found: dict[tuple[float, float] | None, Batch] = {None: _batch(x)}
    for gamma, beta in AFFINE:
        case = Case(Layout("NC", "N", "C"), x, np.zeros_like(x), _same(gamma, beta))
        found[gamma, beta] = _batch(graph.sweep(LAYERS["batch_norm"], case).value("y"))
    return found


def pre_activations(seed: int) -> Array:
    """Handwritten digits times random weights: (64, 100)."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    pixels = load_digits().data
    chosen = pixels[rng.choice(len(pixels), size=BATCH, replace=False)]
    return np.asarray(chosen @ rng.normal(scale=WEIGHT, size=(pixels.shape[1], UNITS)))


def _same(gamma: float, beta: float) -> dict[str, Array]:
    return {"gamma": np.full(UNITS, gamma), "beta": np.full(UNITS, beta)}


def _batch(z: Array) -> Batch:
    return Batch(z, float(np.mean(z < -edge())), float(np.mean(z > edge())))


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(2, 2, sharex=True, sharey=True)
        for axes, (affine, batch) in zip(panels.flat, batches(seed).items(), strict=True):
            _panel(axes, look, batch)
            off, on = look.say("without batch norm", "没有批归一化"), look.say("batch norm", "批归一化")
            axes.set_title(off if affine is None else rf"{on}, $\gamma={affine[0]:g},\ \beta={affine[1]:g}$")
        for axes in panels[-1]:
            axes.set_xlabel(look.say("pre-activation $z$", "预激活值 $z$"))
        page.key(panels[0, 0])
    return page


def _panel(axes: Axes, look: Look, batch: Batch) -> None:
    z = np.linspace(-REACH, REACH, 401)
    for side in (-1, 1):
        axes.axvspan(side * edge(), side * REACH, **look.area("saturated", zorder=0, alpha=0.45))
    heights, bounds = np.histogram(batch.z, bins=64, range=(-REACH, REACH))
    axes.stairs(heights / heights.max() * 0.9, bounds, fill=True, color=look.colour("reference"), alpha=0.55, zorder=1)
    slope = sigmoid(z) * (1 - sigmoid(z))
    axes.plot(z, sigmoid(z), **look.line("function", label=r"$\sigma(z)$"))
    axes.plot(z, 4 * slope, **look.line("slope", label=look.say(r"its slope, $4\sigma'(z)$", r"斜率 $4\sigma'(z)$")))
    paper = {"boxstyle": "round,pad=0.25", "fc": look.colour("paper"), "ec": "none"}
    for side, share in ((-1, batch.left), (1, batch.right)):
        place = side * (edge() + REACH) / 2
        axes.text(place, 0.5, f"{100 * share:.0f} %", ha="center", va="center", weight="bold", bbox=paper, zorder=4)
    axes.set(xlim=(-REACH, REACH), ylim=(0, 1.12), yticks=[0, 0.5, 1], xticks=[-10, -5, 0, 5, 10])
