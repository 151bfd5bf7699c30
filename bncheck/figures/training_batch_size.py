"""Batches from 2 to 32 samples: test error with three normalizations and with none, and batch norm's two losses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.batch_size import BATCHES, EPOCHS, KINDS, RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("Batch norm needs a batch, the others do not", "批归一化离不开批，其他归一化不需要"),
    reading=Words(
        "With batch norm the error rises as batches fall below 8, and the loss seen in training is far from that in"
        " evaluation; layer norm, group norm and no normalization do not mind.",
        "批小于 8 时，批归一化的误差上升，训练时的损失与评估时相差很大；层归一化、组归一化和不归一化都不受影响。",
    ),
    caption=Words(
        f"Digits, two layers of 100 ReLUs, {EPOCHS} epochs, SGD, rate {RATE} · batch / {BATCHES[-1]}. Bands: all seeds."
        " In a convolution a statistic has more values than samples, and small batches harm less.",
        f"手写数字，两层各 100 个 ReLU，{EPOCHS} 轮，SGD，学习率 {RATE} · 批大小 / {BATCHES[-1]}。色带：全部随机种子。"
        "卷积中每个统计量的数值比样本多，小批的危害较小。",
    ),
)

ROLES = ("first", "second", "third", "fourth")


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("batch-size", results)
    batches = found.settings("batch")
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, right = page.subplots(1, 2, sharex=True)
        _errors(left, look, found, batches)
        page.key(left)
        _losses(right, look, found, batches)
        left.set_title(look.say("test error, %", "测试误差，%"))
        right.set_title(look.say("batch norm: training loss", "批归一化：训练数据上的损失"))
        for axes in (left, right):
            axes.set(xscale="log", xlim=(batches[0] / 1.2, batches[-1] * 1.2))
            axes.set_xticks(batches, [str(batch) for batch in batches])
            axes.minorticks_off()
            axes.set_xlabel(look.say("samples in a batch", "一批的样本数"))
    return page


def _errors(axes: Axes, look: Look, found: Results, batches: list[int]) -> None:
    for role, kind in zip(ROLES, KINDS, strict=True):
        errors = [100 * found.values("error", batch=batch, kind=kind) for batch in batches]
        label = look.say("none", "不归一化") if kind == "none" else look.layer(kind)
        band(axes, look, role, batches, np.array(errors).T, marked=True, label=label)
    axes.set_yscale("log")
    axes.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    axes.autoscale(axis="y")


def _losses(axes: Axes, look: Look, found: Results, batches: list[int]) -> None:
    """The loss with the statistics of each batch, and with the running ones."""
    said = {
        "training": ("reference", look.say("statistics of a batch", "每批的统计量")),
        "evaluation": ("first", look.say("running statistics", "滑动统计量")),
    }
    for name, (role, label) in said.items():
        losses = np.array([found.values(name, batch=batch, kind="batch_norm") for batch in batches]).T
        band(axes, look, role, batches, losses, marked=True, label=label)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")
