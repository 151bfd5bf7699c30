"""One wide layer with batch norm: the training loss is far lower, the test loss for many epochs higher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.dense import BATCH, UNITS
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Batch norm: training loss falls fast, test loss late", "批归一化：训练损失降得快，测试损失降得晚"),
    reading=Words(
        "With batch norm the training loss is ten to twenty times lower; the test loss is nevertheless the higher one"
        " for many epochs with running statistics of momentum 0.99, since these lag, and with 0.9 it is not.",
        "有批归一化，训练损失低十到二十倍；但用动量 0.99 的滑动统计量时，因为统计量滞后，"
        "测试损失在许多轮里反而更高，用 0.9 则不会。",
    ),
    caption=Words(
        f"{TRAIN} digits, one layer of {UNITS} ReLUs, batch norm behind them, Adam, batches of {BATCH},"
        f" {TRAIN // BATCH} steps an epoch. Bands: all seeds. With longer epochs the lag takes fewer.",
        f"{TRAIN} 张数字，一层 {UNITS} 个 ReLU，其后是批归一化，Adam，每批 {BATCH} 张，每轮 {TRAIN // BATCH} 步。"
        "色带：全部随机种子。每轮越长，滞后的轮数越少。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("dense", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, middle, right = page.subplots(1, 3, width_ratios=(5, 5, 6))
        middle.sharey(left)
        middle.tick_params(labelleft=False)
        without = "without", look.say("without", "没有批归一化")
        momenta = {
            "fast": ("third", look.say("with, momentum 0.9", "有，动量 0.9")),
            "slow": ("fourth", look.say("with, momentum 0.99", "有，动量 0.99")),
        }
        _line(left, look, without, found.values("train_loss", batch_norm=False))
        _line(
            left, look, ("with", look.say("with batch norm", "有批归一化")), found.values("train_loss", batch_norm=True)
        )
        for axes, measured in ((middle, "loss"), (right, "accuracy")):
            _line(axes, look, without, found.values(f"test_{measured}", batch_norm=False))
            for name, style in momenta.items():
                _line(axes, look, style, found.values(f"{name}_{measured}", batch_norm=True))
        page.key(left, middle)
        left.set(yscale="log", title=look.say("training loss", "训练损失"))
        middle.set_title(look.say("test loss", "测试损失"))
        right.set_title(look.say("test accuracy", "测试准确率"))
        for axes in (left, middle, right):
            axes.set_xlabel(look.say("epoch", "轮次"))
            axes.xaxis.get_major_locator().set_params(integer=True)
    return page


def _line(axes: Axes, look: Look, style: tuple[str, str], values: Array) -> None:
    """A role and a label, and what was measured at the end of each epoch."""
    role, label = style
    epochs = np.arange(1, values.shape[1])
    spaced = max(1, len(epochs) // 8)
    band(axes, look, role, epochs, values[:, 1:], marked=True, markevery=spaced, ms=4 * look.scale, label=label)
