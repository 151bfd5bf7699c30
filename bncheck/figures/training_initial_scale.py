"""Sixteen scales of the initial weights, and which of them learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.initial_scale import BATCH, EPOCHS, RATE, final
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("Batch norm forgives many initial scales, not all", "批归一化宽容许多初始尺度，但并非全部"),
    reading=Words(
        "With batch norm a network learns from initial weights of many scales; without it from few, and at one of these"
        " it is ahead.",
        "有批归一化，网络能从许多尺度的初始权重开始学习；没有它，只有少数尺度可行，但其中一个尺度上它更好。",
    ),
    caption=Words(
        f"{TRAIN} digits, five layers of 100 ReLUs, SGD at rate {RATE}, batches of {BATCH}, {EPOCHS} epochs. Scale:"
        " standard deviation. Bands: all seeds. At another rate other scales learn.",
        f"{TRAIN} 张数字，五层各 100 个 ReLU，SGD 学习率 {RATE}，每批 {BATCH} 张，{EPOCHS} 轮。尺度：标准差。"
        "色带：全部随机种子。换一个学习率，可行的尺度也会不同。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("initial-scale", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, right = page.subplots(1, 2, sharey=True)
        _lines(left, look, found)
        page.key(left)
        _test(right, look, found)
        left.set_title(look.say("training data, at the end", "训练数据，训练结束时"))
        right.set_title(look.say("test data, at the end", "测试数据，训练结束时"))
        for axes in (left, right):
            axes.set(xscale="log", ylim=(0, 1.04), yticks=[0, 0.5, 1])
            axes.set_xlabel(look.say("scale of the initial weights", "初始权重的尺度"))
        left.set_ylabel(look.say("accuracy", "准确率"))
    return page


def _lines(axes: Axes, look: Look, found: Results) -> None:
    said = {False: look.say("without", "没有批归一化"), True: look.say("with batch norm", "有批归一化")}
    for batch_norm, role in ((False, "without"), (True, "with")):
        values = final(found, batch_norm=batch_norm)
        band(axes, look, role, list(values), np.array(list(values.values())).T, label=said[batch_norm], marked=True)


def _test(axes: Axes, look: Look, found: Results) -> None:
    for batch_norm, role in ((False, "without"), (True, "with")):
        scales = found.settings("scale")
        tested = [found.values("test", scale=scale, batch_norm=batch_norm) for scale in scales]
        band(axes, look, role, scales, np.array(tested).T, marked=True)
