"""The gradient of each of ten layers, for three activation functions, at the start and after training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.figures.studio.trained import origin, results_of
from bncheck.training.experiments.depth import BATCH, HIDDEN, RATE, factors, hidden, named
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Ten sigmoids lose the gradient, ten ReLUs do not", "十层 sigmoid 会丢失梯度，十层 ReLU 不会"),
    reading=Words(
        "Without batch norm the gradient of ten sigmoid layers vanishes on its way to the first, and with it arrives;"
        " tanh and ReLU with the initial weights proper to them need no batch norm for that.",
        "没有批归一化时，十层 sigmoid 的梯度在传回第一层的途中消失，有了它便能到达；"
        "tanh 和 ReLU 只要初始权重合适，不需要批归一化也能到达。",
    ),
    caption=Words(
        f"{TRAIN} digits, {len(HIDDEN)} layers of {HIDDEN[0]}, weights of variance 1/inputs, for ReLU 2/inputs; SGD at"
        f" rate {RATE}, batches of {BATCH}. Means over the seeds. ×: per layer, going back, at the start. What arrives"
        " need not teach.",
        f"{TRAIN} 张数字，{len(HIDDEN)} 层各 {HIDDEN[0]} 个单元，权重方差为 1/输入数，ReLU 为 2/输入数；"
        f"SGD 学习率 {RATE}，每批 {BATCH} 张。对随机种子取平均。×：开始时每往回一层的因子。梯度到达不等于学得好。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("depth", results)
    last = found.runs[0].measured["steps"][-1]
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        panels = page.subplots(1, 3, sharey=True)
        for axes, activation in zip(panels, found.settings("activation"), strict=True):
            for batch_norm, role in ((False, "without"), (True, "with")):
                norms = hidden(found, activation, batch_norm=batch_norm)
                _lines(axes, look, role, norms)
                factor = float(factors(norms)[:, 0].mean())
                if np.isfinite(factor):
                    _factor(axes, look, role, factor)
            axes.set(title=named(activation), xlabel=look.say("layer", "层"), xticks=[1, 4, 7, 10], xlim=(0.4, 10.6))
        panels[0].set(yscale="log", ylim=(1e-8, 1e2), yticks=[1e-8, 1e-6, 1e-4, 1e-2, 1])
        panels[0].minorticks_off()
        panels[0].set_ylabel(look.say("gradient norm", "梯度范数"))
        thin = look.say(f"thin: at step {last}", f"细线：第 {last} 步")
        panels[0].plot([], [], color=look.colour("reference"), lw=look.scale, label=thin)
        page.key(panels[0])
    return page


def _lines(axes: Axes, look: Look, role: str, norms: Array) -> None:
    """At the start with markers, at the end thinner and without."""
    layers = np.arange(1, norms.shape[-1] + 1)
    start = look.say("with batch norm", "有批归一化") if role == "with" else look.say("without", "没有批归一化")
    axes.plot(layers, norms[:, 0].mean(axis=0), **look.marked(role, label=start, ms=3.6 * look.scale))
    axes.plot(layers, norms[:, -1].mean(axis=0), **look.line(role, lw=look.scale))


def _factor(axes: Axes, look: Look, role: str, factor: float) -> None:
    """By what a layer multiplies the gradient: with batch norm above the lines, without below."""
    said = look.say("with", "有") if role == "with" else look.say("without", "没有")
    place = (5.5, 15.0) if role == "with" else (10.5, 6e-8)
    aligned = "center" if role == "with" else "right"
    words = f"{said} ×{number(factor, '.2f')}"
    axes.text(*place, words, ha=aligned, va="center", weight="bold", color=look.colour(role))
