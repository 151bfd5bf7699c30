"""Percentiles of what comes into one sigmoid while its network learns, and how well that does by then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.percentiles import BATCH, PERCENTILES, RATES, SCALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

RATE = RATES[0]

ABOUT = About(
    title=Words("Behind batch norm a sigmoid's input stays in place", "批归一化之后，sigmoid 的输入不再漂移"),
    reading=Words(
        "Without batch norm the input of a sigmoid first wanders off, the same for every digit, then comes back and"
        " spreads; with it the input stays where it was and only widens.",
        "没有批归一化，sigmoid 的输入先对所有数字一同漂走，再回来并展开；有了它，输入留在原处，只是变宽。",
    ),
    caption=Words(
        f"Digits, three layers of 100 sigmoids, scale {SCALE}, batches of {BATCH}, SGD at rate {RATE:g}. Input: of the"
        " last layer's unit whose median has the median range; first seed. Proves no cause.",
        f"手写数字，三层各 100 个 sigmoid，尺度 {SCALE}，每批 {BATCH} 张，SGD 学习率 {RATE:g}。输入：最后一层中"
        "中位数变化幅度居中的单元，第一个随机种子。这不证明因果。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("percentiles", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, middle, right = page.subplots(1, 3, sharex=True)
        right.sharey(middle)
        right.tick_params(labelleft=False)
        _accuracy(left, look, found)
        page.key(left)
        for axes, batch_norm in ((middle, False), (right, True)):
            _percentiles(axes, look, found, batch_norm=batch_norm)
        left.set_title(look.say("test accuracy", "测试准确率"))
        percents = ", ".join(map(str, PERCENTILES))
        middle.set_title(look.say("input, without", "输入，没有批归一化"))
        middle.set_ylabel(look.say(f"percentiles {percents}", f"百分位数 {percents}"))
        right.set_title(look.say("input, with", "输入，有批归一化"))
        for axes in (left, middle, right):
            axes.set_xlabel(look.say("steps", "步数"))
    return page


def _accuracy(axes: Axes, look: Look, found: Results) -> None:
    said = {False: look.say("without", "没有批归一化"), True: look.say("with batch norm", "有批归一化")}
    for batch_norm, role in ((False, "without"), (True, "with")):
        kind = {"rate": RATE, "batch_norm": batch_norm}
        steps = found.where(**kind)[0].measured["steps"]
        tested = found.values("test", **kind)
        band(axes, look, role, steps, tested, marked=True, markevery=0.15, ms=4 * look.scale, label=said[batch_norm])
    axes.set(ylim=(0, 1.04), yticks=[0, 0.5, 1])


def _percentiles(axes: Axes, look: Look, found: Results, *, batch_norm: bool) -> None:
    """The three lines of the first seed, the median in bold, and what lies between them."""
    measured = found.where(rate=RATE, batch_norm=batch_norm)[0].measured
    role = "with" if batch_norm else "without"
    lines = np.array(measured["percentiles"], dtype=float)
    steps = measured["steps"]
    axes.fill_between(steps, lines[0], lines[-1], color=look.tint(role, 0.25), linewidth=0)
    for percentile, line in zip(PERCENTILES, lines, strict=True):
        width = (2.0 if percentile == 50 else 1.0) * look.scale
        axes.plot(steps, line, color=look.colour(role), lw=width)
