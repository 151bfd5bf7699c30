"""How soon sigmoids learn at four scales and rates, and how large a rate ReLUs bear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.learning_rate import (
    BATCH,
    LONGEST,
    STEPS,
    arrivals,
    ladder,
    largest,
    sigmoids,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("Batch norm allows higher learning rates", "批归一化允许更高的学习率"),
    reading=Words(
        "With batch norm sigmoids learn within a few steps at every scale and rate, and ReLUs at rates at which they"
        " fail without; each at its best rate, both end alike.",
        "有批归一化，sigmoid 网络在每种尺度和学习率下都能很快学会，ReLU 网络在没有它就失败的学习率下也能学会；"
        "各用最好的学习率，两者最终相当。",
    ),
    caption=Words(
        f"Digits, three layers of 100, batches of {BATCH}, SGD. Points, bands: all seeds. Never: not in {LONGEST}"
        " steps. Possible is not better: see where both end.",
        f"手写数字，三层各 100 个单元，每批 {BATCH} 张，SGD。点和色带：全部随机种子。从未：{LONGEST} 步内没有达到。"
        "可行不等于更好：请看两者的终点。",
    ),
)

NEVER = 2 * LONGEST
"""Where those stand that did not get there."""


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("learning-rate", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, right = page.subplots(1, 2, width_ratios=(5, 6))
        _race(left, look, found)
        _ladder(right, look, found)
        page.key(right)
        left.set_title(look.say("sigmoids: steps to 90 %", "sigmoid：达到 90 % 的步数"))
        right.set_title(look.say(f"ReLUs: after {STEPS} steps", f"ReLU：{STEPS} 步之后"))
    return page


def _race(axes: Axes, look: Look, found: Results) -> None:
    rows = sigmoids(found)
    for batch_norm, role in ((False, "without"), (True, "with")):
        for y, setting in enumerate(rows):
            steps = np.nan_to_num(arrivals(found, batch_norm=batch_norm, **setting), nan=NEVER)
            axes.plot(steps, [y] * len(steps), **look.points(role, clip_on=False, zorder=3))
    scale, rate = look.say("scale", "尺度"), look.say("rate", "学习率")
    names = [f"{scale} {setting['scale']:g}\n{rate} {setting['rate']:g}" for setting in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xscale="log", xlim=(10, NEVER), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticks([10, 100, 1000, NEVER], ["10", "100", "1000", look.say("never", "从未")])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.set_xlabel(look.say("steps", "步数"))


def _ladder(axes: Axes, look: Look, found: Results) -> None:
    said = {False: look.say("without", "没有批归一化"), True: look.say("with batch norm", "有批归一化")}
    for batch_norm, role in ((False, "without"), (True, "with")):
        tested = ladder(found, batch_norm=batch_norm)
        band(axes, look, role, list(tested), np.array(list(tested.values())).T, marked=True, label=said[batch_norm])
        rate = largest(found, batch_norm=batch_norm)
        if rate is not None:
            place = look.beside(5, 10, ha="left") if batch_norm else look.beside(5, 10, ha="right")
            axes.annotate(f"{rate:g}", (rate, tested[rate].max()), **place, weight="bold", color=look.colour(role))
    axes.set(xscale="log", ylim=(0, 1.15), yticks=[0, 0.5, 1])
    axes.minorticks_off()
    axes.set_xlabel(look.say("learning rate", "学习率"))
    axes.set_ylabel(look.say("test accuracy", "测试准确率"))
