"""Running statistics: what momentum weighs, and what the variance is divided by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import digits
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Momentum and variance: two meanings each", "动量与方差：各有两种含义"),
    reading=Words(
        "PyTorch's momentum weighs the new batch, Keras' and ONNX' the old value; PyTorch divides the running variance"
        " by m − 1, the others by m.",
        "PyTorch 的动量是新批次的权重，Keras 和 ONNX 的动量是旧值的权重；PyTorch 的滑动方差除以 m − 1，其他除以 m。",
    ),
    caption=Words(
        "Batches of 4 real digits. Left: the mean of one pixel. Right: the variance of all pixels, with new"
        " weight 0.02, over that of all digits.",
        "每批 4 张真实手写数字。左：一个像素的均值。右：所有像素的方差与全部数字的方差之比，新值权重 0.02。",
    ),
)

BATCHES, SHOWN, COUNT, PIXEL = 1000, 200, 4, 36
"""Batches, how many of them the left panel shows, digits in each, and the pixel whose mean is shown there."""

WEIGHTS = (0.9, 0.1, 0.01)
"""Of the new batch's mean."""

SLOW = 0.02
"""Of the new batch's variance."""


class Statistics(NamedTuple):
    """Means and population variances of the batches, each of shape (batches, pixels), and those of all digits."""

    means: Array
    variances: Array
    mean: Array
    variance: Array


def statistics(seed: int) -> Statistics:
    """Batches drawn from the digits with replacement; their statistics are batch norm's own."""
    everything = digits(np.random.default_rng(seed), 1797)
    rows = np.random.default_rng(seed).integers(len(everything), size=(BATCHES, COUNT))
    x = everything[rows]
    done = graph.sweep(LAYERS["batch_norm"], Case(Layout("BNC", "N", "C"), x, np.zeros_like(x)))
    return Statistics(
        done.value("mean")[:, 0], done.value("var")[:, 0], everything.mean(axis=0), everything.var(axis=0)
    )


def running(values: Array, new_weight: float, start: float) -> Array:
    """start, then (1 − new_weight) · old + new_weight · value for each value.

    >>> running(np.array([4.0, 4.0]), 0.5, 0.0).tolist()
    [2.0, 3.0]
    """
    found: list[Array] = []
    old = np.full(values.shape[1:], start)
    for value in values:
        old = (1 - new_weight) * old + new_weight * value
        found.append(old)
    return np.array(found)


def ratios(found: Statistics) -> dict[str, Array]:
    """The running variance, biased and unbiased, over that of all digits, pixels added up."""
    total = found.variance.sum()
    unbiased = found.variances * (COUNT / (COUNT - 1))
    return {
        name: running(variances, SLOW, 1.0).sum(axis=1) / total
        for name, variances in (("unbiased", unbiased), ("biased", found.variances))
    }


def settled(values: Array) -> float:
    """The mean over the second half of the batches."""
    return float(values[BATCHES // 2 :].mean())


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = statistics(seed)
    with new_page(ABOUT, look, seed) as page:
        left, right = page.subplots(1, 2)
        _means(left, look, found)
        _variances(right, look, ratios(found))
        for axes, last in ((left, SHOWN), (right, BATCHES)):
            axes.set(xlim=(0, last), xticks=[0, last // 2, last], xlabel=look.say("batches", "批次"))
    return page


def _means(axes: Axes, look: Look, found: Statistics) -> None:
    said = "PyTorch 0.9", "PyTorch 0.1 = ONNX 0.9", "PyTorch 0.01 = Keras 0.99"
    widths = (0.7, 1.8, 1.8)
    for role, words, weight, width in zip(("wrong", "with", "fourth"), said, WEIGHTS, widths, strict=True):
        values = running(found.means[:SHOWN, PIXEL], weight, 0.0)
        axes.plot(range(1, SHOWN + 1), values, **look.line(role, label=words, lw=width * look.scale))
    truth = look.say("mean of all digits", "全部数字的均值")
    axes.axhline(found.mean[PIXEL], **look.line("reference", lw=1.4 * look.scale, label=truth))
    axes.set(ylim=(-11, 17), yticks=[0, 8, 16])
    axes.set_title(look.say("running mean, by momentum", "滑动均值（按动量）"))
    axes.legend(loc="lower right")


def _variances(axes: Axes, look: Look, found: dict[str, Array]) -> None:
    said = {
        "unbiased": look.say("÷ $(m-1)$: PyTorch", "÷ $(m-1)$：PyTorch"),
        "biased": look.say("÷ $m$: Keras, ONNX", "÷ $m$：Keras、ONNX"),
    }
    for role, (name, values) in zip(("first", "second"), found.items(), strict=True):
        axes.plot(range(1, BATCHES + 1, 5), values[::5], **look.line(role, label=said[name]))
        place = look.beside(0, 12 if role == "first" else -12, ha="right", weight="bold", color=look.colour(role))
        axes.annotate(f"{settled(values):.2f}", (BATCHES, values[-1]), **place)
    axes.set(ylim=(0, 1.35), yticks=[0, 0.5, 1])
    axes.set_title(look.say("running variance ÷ true one", "滑动方差 ÷ 真实方差"))
    axes.legend(loc="lower right")
