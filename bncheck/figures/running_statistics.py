"""Running statistics: what momentum weighs, and what the variance is divided by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import digits
from bncheck.layers import LAYERS

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

TOTAL, BATCHES, SHOWN, COUNT, PIXEL = 1797, 1000, 200, 4, 36
"""All digits, batches, how many of them the left panel shows, digits in each, and the pixel that it shows."""

WEIGHTS = (0.9, 0.1, 0.01)
"""Of the new batch's mean."""

SLOW = 0.02
"""Of the new batch's variance."""


class Running(NamedTuple):
    """What the store holds after each batch: of shape (batches, pixels)."""

    mean: Array
    var: Array


def batches(seed: int) -> Array:
    """Digits drawn with replacement: of shape (batches, digits, pixels)."""
    everything = digits(np.random.default_rng(seed), TOTAL)
    return everything[np.random.default_rng(seed).integers(TOTAL, size=(BATCHES, COUNT))]


def running(x: Array, new_weight: float, ddof: int = 0) -> Running:
    """Batch norm's own step of the store, from 0 and 1, one batch after another.

    >>> running(np.array([[[4.0]], [[4.0]]]), new_weight=0.5).mean.tolist()
    [[2.0], [3.0]]
    """
    layer = LAYERS["batch_norm_running"]
    store = {"running_mean": np.zeros((1, x.shape[2])), "running_var": np.ones((1, x.shape[2]))}
    operations = {"mean": lambda a: a.mean(axis=0, keepdims=True), "sqrt": np.sqrt, "count": x.shape[1]}
    found: list[Array] = []
    for batch in x:
        named = layer.forward(batch, {**store, "new_weight": new_weight, "ddof": ddof}, 1e-5, **operations)
        store = {name: named[f"new_{name}"] for name in store}
        found.append(np.concatenate([*store.values()]))
    means, variances = np.stack(found, axis=1)
    return Running(means, variances)


def ratios(seed: int) -> dict[str, Array]:
    """The running variance, biased and unbiased, over that of all digits, pixels added up."""
    x, total = batches(seed), digits(np.random.default_rng(seed), TOTAL).var(axis=0).sum()
    return {name: running(x, SLOW, ddof).var.sum(axis=1) / total for name, ddof in (("unbiased", 1), ("biased", 0))}


def settled(values: Array) -> float:
    """The mean over the second half of the batches."""
    return float(values[BATCHES // 2 :].mean())


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        left, right = page.subplots(1, 2)
        _means(left, look, seed)
        _variances(right, look, ratios(seed))
        page.key(left)
        for axes, last in ((left, SHOWN), (right, BATCHES)):
            axes.set(xlim=(0, last), xticks=[0, last // 2, last], xlabel=look.say("batches", "批次"))
    return page


def _means(axes: Axes, look: Look, seed: int) -> None:
    x, truth = batches(seed)[:SHOWN, :, PIXEL, None], digits(np.random.default_rng(seed), TOTAL)[:, PIXEL].mean()
    said = "PyTorch 0.9", "PyTorch 0.1 = ONNX 0.9", "PyTorch 0.01 = Keras 0.99"
    widths = (0.7, 1.8, 1.8)
    for k, (role, words, weight, width) in enumerate(
        zip(("wrong", "with", "fourth"), said, WEIGHTS, widths, strict=True)
    ):
        style = look.marked(role, label=words, lw=width * look.scale, ms=4.5 * look.scale, markevery=(8 + 8 * k, 24))
        axes.plot(range(1, SHOWN + 1), running(x, weight).mean, **style)
    said_of_all = look.say("mean of all digits", "全部数字的均值")
    axes.axhline(truth, **look.line("reference", lw=1.4 * look.scale, label=said_of_all))
    axes.set(ylim=(0, 16.5), yticks=[0, 8, 16])
    axes.set_title(look.say("running mean, by momentum", "滑动均值（按动量）"))


def _variances(axes: Axes, look: Look, found: dict[str, Array]) -> None:
    said = {
        "unbiased": look.say("PyTorch, ÷ (m − 1)", "PyTorch，÷ (m − 1)"),
        "biased": look.say("Keras, ONNX, ÷ m", "Keras、ONNX，÷ m"),
    }
    for role, higher, (name, values) in zip(("third", "second"), (15, -17), found.items(), strict=True):
        style = look.marked(role, markevery=(20, 40), ms=4.5 * look.scale)
        axes.plot(range(1, BATCHES + 1, 5), values[::5], **style)
        place = look.beside(0, higher, ha="right", weight="bold", color=look.colour(role))
        axes.annotate(f"{said[name]}: {settled(values):.2f}", (BATCHES, settled(values)), **place)
    axes.set(ylim=(0, 1.3), yticks=[0, 0.5, 1])
    axes.set_title(look.say("running variance ÷ true one", "滑动方差 ÷ 真实方差"))
