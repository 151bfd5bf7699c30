"""Mean, standard deviation and z-score, on the ink of handwritten digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
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
        "Ink: the sum of a digit's pixels. Percentages: within 1, 2 and 3 standard deviations of the mean, of the curve"
        " on the left, of the digits on the right.",
        "墨量：一张数字图像的像素之和。百分比：距均值 1、2、3 个标准差以内的比例，左为正态曲线，右为手写数字。",
    ),
)

ARROWS = {1: 0.6, 2: 0.34, 3: 0.08}
"""So many standard deviations on either side of the mean, each with the height at which its arrow stands."""

SHOWN = (-2.0, 0.0, 2.0)
"""Near these z-scores a digit is shown."""


class Ink(NamedTuple):
    """The digits' images, their ink and its z-scores, and the statistics that these come from."""

    images: Array
    ink: Array
    z: Array
    mean: float
    std: float

    def within(self, z: float) -> float:
        """The share of digits within z standard deviations of the mean."""
        return float(np.mean(np.abs(self.z) < z))


def measured() -> Ink:
    """All digits; mean, variance and z-scores are batch norm's own."""
    from sklearn.datasets import load_digits

    images = np.asarray(load_digits().images)
    ink = images.sum(axis=(1, 2))
    case = Case(Layout("NC", "N", "C"), ink[:, None], np.zeros((len(ink), 1)))
    done = graph.sweep(LAYERS["batch_norm"], case)
    return Ink(images, ink, done.value("xhat")[:, 0], done.value("mean").item(), math.sqrt(done.value("var").item()))


def within(z: float) -> float:
    """The share of a normal distribution within z standard deviations of its mean.

    >>> round(within(1), 4)
    0.6827
    """
    return math.erf(z / math.sqrt(2))


@figure
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
        axes.text(-3.75, 1.06, said, va="top", linespacing=1.5)
        page.key(axes)
    return page


def _curve(axes: Axes, look: Look, found: Ink) -> None:
    z = np.linspace(-3.8, 3.8, 301)
    heights, bounds = np.histogram(found.z, bins=38, range=(-3.8, 3.8), density=True)
    peak = 1 / math.sqrt(2 * math.pi)
    digits = look.say(f"{len(found.z)} real digits", f"{len(found.z)} 张真实手写数字")
    axes.stairs(heights / peak, bounds, fill=True, **look.area("reference", label=digits))
    axes.plot(z, np.exp(-(z**2) / 2), **look.line("function", label=look.say("normal distribution", "正态分布")))
    for side, height in ARROWS.items():
        arrow = {"arrowstyle": "<|-|>", "color": look.colour("forward"), "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (-side, height), (side, height), arrowprops=arrow)
        shares = (within(side), "right", -0.06, "function"), (found.within(side), "left", 0.06, "reference")
        for share, aligned, x, role in shares:
            bold: dict[str, Any] = {"weight": "bold", "color": look.colour(role), **look.on_paper()}
            axes.text(x, height, f"{100 * share:.1f} %", ha=aligned, va="center", **bold)
    ticks = range(-3, 4)
    axes.set_xticks(ticks, [f"{found.mean + k * found.std:.0f}\n{number(k, 'd')}" for k in ticks])
    axes.set(xlim=(-3.8, 3.8), ylim=(0, 2.05), yticks=[])
    axes.spines.left.set_visible(False)
    said = look.say("ink $x$", "墨量 $x$") + "\n$z$"
    axes.annotate(said, (0, 0), xycoords="axes fraction", **look.beside(-10, -6, fontsize="medium") | {"va": "top"})


def _digit(axes: Axes, look: Look, found: Ink, k: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    inks = LinearSegmentedColormap.from_list("ink", [look.colour("panel"), look.colour("forward")])
    inset = axes.inset_axes((found.z[k] - 0.6, 1.35, 1.2, 0.7), transform=axes.transData)
    inset.imshow(found.images[k], cmap=inks, vmin=0, vmax=16, interpolation="none")
    inset.axis("off")
    axes.text(found.z[k], 1.18, f"$z = {found.z[k]:.2f}$", ha="center", va="center")
