"""A convolutional network that has learned while its evaluation still guesses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import origin, results_of
from bncheck.training.experiments.convolution import BATCH, RATE, curve
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("It has learned; its running statistics lag", "网络已学会，滑动统计量却滞后"),
    reading=Words(
        "Here sigmoids learn only with batch norm, ReLUs also without; evaluated with running statistics of Keras's"
        " momentum 0.99 a network that has learned seems to guess for many epochs, and with 0.9 hardly for one, though"
        " at times it falls behind.",
        "这里 sigmoid 只有加批归一化才能学会，ReLU 没有也能；用 Keras 的动量 0.99 的滑动统计量评估，"
        "已学会的网络许多轮里看起来像在乱猜，动量 0.9 则几乎不会，只是有时落后。",
    ),
    caption=Words(
        f"{TRAIN} digits, four convolutions, RMSprop at {RATE}, batches of {BATCH}, {TRAIN // BATCH} steps an epoch;"
        " means over the seeds. Longer epochs hide the lag.",
        f"{TRAIN} 张数字，四个卷积层，RMSprop 学习率 {RATE}，每批 {BATCH} 张，每轮 {TRAIN // BATCH} 步；"
        "对随机种子取平均。每轮更长时看不到滞后。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("convolution", results)
    measured = {"loss": look.say("loss", "损失"), "accuracy": look.say("accuracy", "准确率")}
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        panels = page.subplots(2, 2, sharex=True, sharey="col")
        for row, activation in zip(panels, found.settings("activation"), strict=True):
            for axes, (name, said) in zip(row, measured.items(), strict=True):
                _lines(axes, look, found, name, activation)
                axes.set_title(f"{'ReLU' if activation == 'relu' else activation}{look.say(': ', '：')}{said}")
        page.key(panels[0, 0])
        panels[0, 0].set(yscale="log", yticks=[1e-3, 1e-2, 1e-1, 1])
        panels[0, 0].minorticks_off()
        panels[0, 1].set(ylim=(0, 1.06), yticks=[0, 0.5, 1])
        for axes in panels[1]:
            axes.set_xlabel(look.say("epoch", "轮次"))
            axes.xaxis.get_major_locator().set_params(integer=True)
    return page


def _lines(axes: Axes, look: Look, found: Results, what: str, activation: str) -> None:
    """Without batch norm, and with it in training and in three evaluations."""
    lines = (
        ("without", "test", False, look.say("without batch norm", "没有批归一化")),
        ("with", "train", True, look.say("with, in training", "有，训练时")),
        ("third", "batch", True, look.say("batch statistics", "批统计量")),
        ("fifth", "fast", True, look.say("momentum 0.9", "动量 0.9")),
        ("fourth", "slow", True, look.say("momentum 0.99", "动量 0.99")),
    )
    for role, name, batch_norm, label in lines:
        values = curve(found, f"{name}_{what}", activation, batch_norm=batch_norm).mean(axis=0)
        style = look.marked(role, label=label, ms=3 * look.scale, lw=1.3 * look.scale)
        axes.plot(np.arange(len(values)), values, **style)
