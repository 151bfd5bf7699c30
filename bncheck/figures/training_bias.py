"""The gradient of a bias before batch norm, a training without it, and where it walks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.bias import ADAM, BATCH, HIDDEN, STEPS, steps, worst
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("A bias before batch norm learns from rounding", "批归一化前的偏置只从舍入误差中学习"),
    reading=Words(
        "The gradient of a bias before batch norm is rounding; without the bias a training is the same until rounding"
        " switches a ReLU. Adam makes steps of that rounding, the larger the smaller its ε is.",
        "批归一化之前，偏置的梯度只是舍入误差；去掉偏置，训练仍然一样，直到舍入误差切换了某个 ReLU。"
        "Adam 会据此移动偏置，ε 越小移动越大。",
    ),
    caption=Words(
        rf"{len(HIDDEN)} layers of 100 ReLUs, {TRAIN} digits, batches of {BATCH}, {STEPS} steps; left and middle: Adam,"
        r" $\varepsilon=10^{-7}$. Thin: tanh, float32. Dotted: the last layer's bias, which is needed. What weight"
        " decay changes does not follow.",
        rf"{len(HIDDEN)} 层各 100 个 ReLU，{TRAIN} 张数字，每批 {BATCH} 张，{STEPS} 步；左、中：Adam，"
        r"$\varepsilon=10^{-7}$。细线：tanh，float 32 位。点线：最后一层的偏置，它是必需的。"
        "权重衰减会改变什么，由此不能推出。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("bias", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, middle, right = page.subplots(1, 3)
        _curves(left, look, found, "ratio")
        page.key(left)
        _curves(middle, look, found, "weights")
        tanh = found.values("weights", activation="tanh").mean(axis=0)
        middle.plot(steps(found), tanh, **look.line("with", lw=0.8 * look.scale))
        _walks(right, look, found)
        left.set_title(look.say("gradient of b\nover that of W", "b 与 W 的梯度之比"))
        middle.set_title(look.say("what it changes\nto leave out b: W", "去掉 b 对 W 的改变"))
        right.set_title(look.say("how far b walks", "b 走了多远"))
        for axes in (left, middle):
            axes.set(yscale="log", ylim=(1e-18, 10), yticks=[1e-16, 1e-8, 1])
            axes.set_xlabel(look.say("step", "步"))
        middle.tick_params(labelleft=False)
        for axes in (left, middle, right):
            axes.minorticks_off()
    return page


FORMATS = (("float32", "with"), ("float64", "third"))
"""The formats of the networks with batch norm, and their roles."""


def _curves(axes: Axes, look: Look, found: Results, name: str) -> None:
    """One quantity over the training, with Adam."""
    relu = {"activation": "relu", "optimizer": ADAM}
    plain = found.values(name, **relu, batch_norm=False)
    band(
        axes,
        look,
        "without",
        steps(found),
        plain,
        marked=True,
        ms=3.5 * look.scale,
        label=look.say("without", "没有批归一化"),
    )
    said = {
        "float32": look.say("with batch norm, float32", "有，float 32 位"),
        "float64": look.say("float64", "有，float 64 位"),
    }
    for dtype, role in FORMATS:
        values = found.values(name, **relu, batch_norm=True, dtype=dtype)
        band(axes, look, role, steps(found), values, marked=True, ms=3.5 * look.scale, label=said[dtype])


NAMES = {"SGD": "SGD", "RMSprop": r"$\mathrm{RMSprop}$", ADAM: "Adam, ε $10^{-7}$"}
NAMES |= {"Adam ε 1e-8": "ε $10^{-8}$", "Adam ε 1e-12": "ε $10^{-12}$"}


def _walks(axes: Axes, look: Look, found: Results) -> None:
    """The root mean square of the biases before batch norm at the end, by optimizer."""
    optimizers = found.settings("optimizer", batch_norm=True, activation="relu")
    for dtype, role in FORMATS:
        ends = [worst(found, "walk", activation="relu", batch_norm=True, dtype=dtype, optimizer=o) for o in optimizers]
        axes.plot([end.mean for end in ends], np.arange(len(ends)), **look.points(role))
    needed = worst(found, "last", activation="relu", batch_norm=True)
    axes.axvline(needed.mean, **look.line("reference"))
    axes.set(xscale="log", xlim=(1e-18, 10), xticks=[1e-16, 1e-8, 1], ylim=(-0.6, len(optimizers) - 0.4))
    axes.set_yticks(np.arange(len(optimizers)), [NAMES[optimizer] for optimizer in optimizers])
    axes.set_xlabel(look.say("root mean square", "均方根"))
