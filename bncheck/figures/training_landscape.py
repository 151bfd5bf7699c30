"""The loss along the gradient, and how fast the gradient turns there, at equal loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.landscape import BATCH, KINDS, RANGE, WAY, curve
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("Batch norm smooths at rate 0.1, hardly at rate 1", "学习率 0.1 时批归一化使损失更平滑，1 时几乎没有"),
    reading=Words(
        "Where the loss first falls to 1, the gradient turns much more slowly with batch norm at a rate of 0.1, and"
        " hardly more slowly at a rate of 1: there both nets are where a larger step makes the loss rise.",
        "在损失首次降到 1 处，学习率为 0.1 时，有批归一化的梯度变化慢得多；学习率为 1 时几乎没有差别："
        "两个网络都处在步子再大损失就上升的地方。",
    ),
    caption=Words(
        rf"{TRAIN} digits, five layers of 100 units, batches of {BATCH}, rate η. $\beta=|g'-g|\,/\,(s\,|g|)$ after a"
        " step s; above 2/s a parabola rises. Shaded: s from η/2 to 4η. Smoother on one line is not smoother"
        " everywhere.",
        rf"{TRAIN} 张数字，五层各 100 个单元，每批 {BATCH} 张，学习率 η。走步长 s 后 $\beta=|g'-g|\,/\,(s\,|g|)$。"
        "高于 2/s 处抛物线上升。阴影：s 从 η/2 到 4η。沿一条直线更平滑不等于处处更平滑。",
    ),
)

HIGHEST_CHANGE, HIGHEST_BETA = 1e4, 200.0
"""Where the panels end; curves that go on, go on."""


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("landscape", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        panels = page.subplots(2, len(KINDS), sharex=True, sharey="row")
        names = {"relu": "ReLU", "sigmoid": "sigmoid"}
        for (above, below), kind in zip(panels.T, KINDS, strict=True):
            above.set_title(f"{names[kind[0]]}, $\\eta = {kind[1]:g}$")
            for axes in (above, below):
                axes.axvspan(kind[1] * RANGE[0], kind[1] * RANGE[-1], color=look.tint("reference", 0.2), lw=0, zorder=0)
            _change(above, look, found, kind)
            _beta(below, look, found, kind)
        page.key(panels[1, 0])
        corner = panels[1, 0]
        corner.set(xscale="log", xlim=(WAY[0] / 1.4, WAY[-1] * 1.4), yscale="log", ylim=(0.1, HIGHEST_BETA))
        corner.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        corner.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        panels[0, 0].set_yscale("symlog", linthresh=1, linscale=1.5)
        panels[0, 0].set(ylim=(-1.1, HIGHEST_CHANGE), yticks=[-1, 0, 1, 100], yticklabels=["−1", "0", "+1", "+100"])
        panels[0, 0].set_ylabel(look.say("loss: change", "损失的变化"))
        corner.set_ylabel("β")
        panels[1, 1].set_xlabel(
            look.say("step s along the gradient, from where the loss is 1", "从损失为 1 处沿梯度的步长 s")
        )
        for axes in panels.flat:
            axes.minorticks_off()
    return page


def _curve(axes: Axes, look: Look, role: str, curves: Array, highest: float) -> None:
    """One curve, as far as its mean stays in the panel."""
    shown = np.logical_and.accumulate(curves.mean(axis=0) <= highest)
    band(axes, look, role, np.array(WAY)[shown], curves[:, shown], marked=True, ms=2.6 * look.scale)


def _change(axes: Axes, look: Look, found: Results, kind: tuple[str, float]) -> None:
    axes.axhline(0, **look.line("reference", lw=0.8 * look.scale))
    for batch_norm, role in ((False, "without"), (True, "with")):
        curves = curve(found, "changes", kind, batch_norm=batch_norm)
        if curves is not None:
            _curve(axes, look, role, curves, HIGHEST_CHANGE)


def _beta(axes: Axes, look: Look, found: Results, kind: tuple[str, float]) -> None:
    """β on all images, thin on mini-batches; above the diagonal the loss would rise, were it a parabola."""
    thin = 0.8 * look.scale
    said = {False: look.say("without", "没有批归一化"), True: look.say("with batch norm", "有批归一化")}
    for batch_norm, role in ((False, "without"), (True, "with")):
        axes.plot([], [], **look.marked(role, label=said[batch_norm]))
        curves = curve(found, "betas", kind, batch_norm=batch_norm)
        parts = curve(found, "batch_betas", kind, batch_norm=batch_norm)
        if curves is not None and parts is not None:
            _curve(axes, look, role, curves, HIGHEST_BETA)
            mean = parts.mean(axis=0)
            axes.plot(np.array(WAY)[mean <= HIGHEST_BETA], mean[mean <= HIGHEST_BETA], **look.line(role, lw=thin))
    axes.plot([], [], color=look.colour("reference"), lw=thin, label=look.say("thin: mini-batches", "细线：小批量"))
    way = np.array([2 / HIGHEST_BETA, WAY[-1]])
    axes.plot(way, 2 / way, **look.line("reference", label="$2/s$"))
