"""Mean, standard deviation and z-score, on the ink of handwritten digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("A z-score counts standard deviations", "z 分数以标准差为单位"),
    reading=Words(
        "Subtracting the mean and dividing by the standard deviation says how unusual a value is, whatever its unit.",
        "减去均值再除以标准差，就能说明一个值有多不寻常，与单位无关。",
    ),
    caption=Words(
        "Grey: the ink, the sum of its pixels, of each of 1797 real digits. Curve and percentages: the normal"
        " distribution.",
        "灰色：1797 张真实手写数字各自的墨量，即像素之和。曲线与百分比：正态分布。",
    ),
)

SHOWN = (-2.0, 0.0, 2.0)
"""Near these z-scores a digit is shown."""


class Ink(NamedTuple):
    """The digits' images, their ink and its z-scores, and the statistics that these come from."""

    images: Array
    ink: Array
    z: Array
    mean: float
    std: float


def measured() -> Ink:
    """All digits; mean, variance and z-scores are batch norm's own."""
    from sklearn.datasets import load_digits

    images = np.asarray(load_digits().images)
    ink = images.sum(axis=(1, 2))
    case = Case(Layout("NC", "N", "C"), ink[:, None], np.zeros((len(ink), 1)))
    done = graph.sweep(LAYERS["batch_norm"], case)
    return Ink(images, ink, done.value("xhat")[:, 0], done.value("mean").item(), math.sqrt(done.value("var").item()))


def within(z: float) -> float:
    """The share of a normal distribution within z standard deviations.

    >>> round(within(1), 4)
    0.6827
    """
    return math.erf(z / math.sqrt(2))


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure; nothing in it is drawn by chance."""
    from bncheck.figures.studio.page import new_page

    found = measured()
    with new_page(ABOUT, look, seed) as page:
        axes = page.subplots()
        _curve(axes, look, found)
        for z in SHOWN:
            _digit(axes, look, found, int(np.abs(found.z - z).argmin()))
        said = rf"$\mu = {found.mean:.1f}$" + "\n" + rf"$\sigma = {found.std:.1f}$" + "\n" + r"$z = (x-\mu)\,/\,\sigma$"
        axes.text(-3.75, 1.25, said, va="top", linespacing=1.5)
    return page


def _curve(axes: Axes, look: Look, found: Ink) -> None:
    z = np.linspace(-3.8, 3.8, 301)
    heights, bounds = np.histogram(found.z, bins=38, range=(-3.8, 3.8), density=True)
    peak = 1 / math.sqrt(2 * math.pi)
    axes.stairs(heights / peak, bounds, fill=True, color=look.tint("reference", 0.45))
    axes.plot(z, np.exp(-(z**2) / 2), **look.line("function"))
    for side in (1, 2):
        height = math.exp(-(side**2) / 2)
        arrow = {"arrowstyle": "<|-|>", "color": look.colour("forward"), "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (-side, height), (side, height), arrowprops=arrow)
        axes.text(0, height, f"{100 * within(side):.0f} %", ha="center", va="center", weight="bold", **look.on_paper())
    ticks = range(-3, 4)
    axes.set_xticks(ticks, [f"{found.mean + k * found.std:.0f}\n{number(k, 'd')}" for k in ticks])
    axes.set(xlim=(-3.8, 3.8), ylim=(0, 2.05), yticks=[])
    axes.spines.left.set_visible(False)
    said = look.say("ink $x$", "墨量 $x$") + "\n$z$"
    axes.annotate(said, (0, 0), xycoords="axes fraction", **look.beside(0, -6, fontsize="small") | {"va": "top"})


def _digit(axes: Axes, look: Look, found: Ink, k: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    inks = LinearSegmentedColormap.from_list("ink", [look.colour("panel"), look.colour("forward")])
    inset = axes.inset_axes((found.z[k] - 0.6, 1.35, 1.2, 0.7), transform=axes.transData)
    inset.imshow(found.images[k], cmap=inks, vmin=0, vmax=16, interpolation="none")
    inset.axis("off")
    axes.text(found.z[k], 1.18, f"$z = {found.z[k]:.2f}$", ha="center", va="center")
