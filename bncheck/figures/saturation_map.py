"""Unit by sample: which units say the same for every sample, without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import (
    BATCH,
    RELU,
    SHARE,
    SIGMOID,
    UNITS,
    Activation,
    normalized,
    pre_activations,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Units that say the same for every digit", "对每个数字都说同样话的单元"),
    reading=Words(
        "Without batch norm some sigmoids are saturated, and some ReLUs silent, for the whole batch, and learn next to"
        " nothing from it; with it, at γ = 1 and β = 0, none is.",
        "没有批归一化时，一些 sigmoid 对整批样本都饱和，一些 ReLU 对整批样本都沉默，几乎学不到任何东西；"
        "有了它，γ = 1、β = 0 时则没有这样的单元。",
    ),
    caption=Words(
        rf"Columns: {UNITS} units by their mean; rows: {BATCH} real digits; $\gamma=1$, $\beta=0$."
        f" Saturated: slope below {100 * SHARE:.0f} % of its maximum. Stuck (triangles): the same for all digits.",
        rf"列：{UNITS} 个单元，按均值排列；行：{BATCH} 张真实手写数字；$\gamma=1$，$\beta=0$。"
        f"饱和：斜率低于最大值的 {100 * SHARE:.0f} %。卡住（三角）：对每张数字都在同一侧饱和，或都沉默。",
    ),
)


class Map(NamedTuple):
    """For each sample and unit −1, 0 or 1: saturated (or silent) on the left, responsive, saturated on the right."""

    side: Array
    stuck: Array
    """The units that are on the same saturated side for every sample."""


def mapped(activation: Activation, z: Array) -> Map:
    """Where an activation function is saturated by a batch.

    >>> mapped(SIGMOID, np.array([[-9.0, 0.0], [-5.0, 5.0]])).stuck
    array([0])
    """
    side = (z > activation.high) * 1 - (z < activation.low) * 1
    return Map(side, np.flatnonzero(np.abs(side.sum(axis=0)) == len(z)))


def maps(seed: int) -> list[tuple[Map, Map]]:
    """The sigmoid and the rectifier, each without batch norm and with it."""
    z = pre_activations(seed)
    z = z[:, np.argsort(z.mean(axis=0))]
    return [(mapped(activation, z), mapped(activation, normalized(z))) for activation in (SIGMOID, RELU)]


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(2, 2, sharex=True, sharey=True)
        batch_norm = look.say("without batch norm", "没有批归一化"), look.say("with batch norm", "有批归一化")
        for row, name, pair in zip(panels, ("sigmoid", "ReLU"), maps(seed), strict=True):
            for axes, where, found in zip(row, batch_norm, pair, strict=True):
                _panel(axes, look, found)
                count = len(found.stuck)
                axes.set_title(
                    look.say(f"{where}: {count} stuck", f"{where}：卡住 {count} 个"),
                    pad=8 * look.scale,
                )
            row[0].set_ylabel(name)
        _key(panels[0, 0], look)
        page.key(panels[0, 0])
    return page


def _colours(look: Look) -> list[str]:
    return [look.colour("first"), look.tint("line", 0.35), look.tint("second", 0.65)]


def _panel(axes: Axes, look: Look, found: Map) -> None:
    from matplotlib.colors import ListedColormap

    axes.imshow(found.side, cmap=ListedColormap(_colours(look)), vmin=-1, vmax=1, aspect="auto", interpolation="none")
    above = np.full(len(found.stuck), -3.0)
    triangles = axes.plot(found.stuck, above, "v", ms=3.2 * look.scale, color=look.colour("forward"), clip_on=False)
    triangles[0].set_in_layout(False)
    axes.set(xticks=[], yticks=[], xlim=(-0.5, UNITS - 0.5), ylim=(BATCH - 0.5, -0.5))
    axes.spines[:].set_visible(False)


def _key(axes: Axes, look: Look) -> None:
    words = (
        look.say("saturated left; ReLU: silent", "左侧饱和；ReLU：沉默"),
        look.say("responsive", "灵敏"),
        look.say("saturated right", "右侧饱和"),
    )
    for colour, said in zip(_colours(look), words, strict=True):
        axes.plot([], [], marker="s", ms=6 * look.scale, linestyle="none", color=colour, label=said)
