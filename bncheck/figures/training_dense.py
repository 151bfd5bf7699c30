"""One wide layer with batch norm: the training loss is far lower, the test loss for many epochs higher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.dense import BATCH, UNITS
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

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


def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("dense", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, right = page.subplots(1, 2)
        _lines(left, look, found, "loss")
        _lines(right, look, found, "accuracy")
        page.key(left)
        left.set(yscale="log", title=look.say("loss", "损失"))
        right.set_title(look.say("accuracy", "准确率"))
        for axes in (left, right):
            axes.set_xlabel(look.say("epoch", "轮次"))
            axes.xaxis.get_major_locator().set_params(integer=True)
    return page


def _lines(axes: Axes, look: Look, found: Results, what: str) -> None:
    """In training without markers, on the test data with them."""
    lines = (
        ("without", "train", False, look.say("without, in training", "没有批归一化，训练时")),
        ("without", "test", False, look.say("without, test", "没有，测试")),
        ("with", "train", True, look.say("with, in training", "有，训练时")),
        ("third", "fast", True, look.say("momentum 0.9, test", "动量 0.9，测试")),
        ("fourth", "slow", True, look.say("momentum 0.99, test", "动量 0.99，测试")),
    )
    for role, name, batch_norm, label in lines:
        values = found.values(f"{name}_{what}", batch_norm=batch_norm)[:, 1:]
        epochs = np.arange(1, values.shape[1] + 1)
        style: dict[str, Any] = {"label": label, "lw": 1.3 * look.scale}
        if name != "train":
            style |= {"marked": True, "ms": 3 * look.scale, "markevery": max(1, len(epochs) // 10)}
        band(axes, look, role, epochs, values, **style)
