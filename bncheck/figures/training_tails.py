"""The entries of a gradient: their distribution before training, in every layer, and as training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.tails import BATCH, EDGES, HIDDEN, RATE, WATCHED
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("ReLU gradients start heavy-tailed without batch norm", "没有批归一化，ReLU 网络的初始梯度有重尾"),
    reading=Words(
        "Before training a few entries of the gradient are far larger than the rest without batch norm, and none with"
        " it; with tanh there is no such difference, and as training goes on the tails grow with batch norm, too.",
        "训练前，没有批归一化时，梯度中少数元素远大于其余，有它则没有；"
        "用 tanh 没有这种差别，随着训练进行，有批归一化的尾部也会变重。",
    ),
    caption=Words(
        rf"Entries of $\partial\ell/\partial W$ of one batch of {BATCH}; left and right of layer {WATCHED} of"
        rf" {len(HIDDEN)}, 100 ReLUs each, rate {RATE}, {TRAIN} digits. Middle, thin: tanh. Kurtosis 3: normal. That"
        " tails slow a training does not follow.",
        rf"一批 {BATCH} 张上 $\partial\ell/\partial W$ 的元素；左、右为 {len(HIDDEN)} 层中的第 {WATCHED} 层，"
        rf"每层 100 个 ReLU，学习率 {RATE}，{TRAIN} 张数字。中间细线：tanh。峰度 3 为正态。不能推出重尾会拖慢训练。",
    ),
)


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("tails", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, middle, right = page.subplots(1, 3, width_ratios=(1.35, 1, 1))
        _histogram(left, look, found)
        page.key(left)
        left.set_title(look.say(f"entries of ∂W{WATCHED}, at first", f"$∂W_{WATCHED}$ 的元素，训练前"))
        left.set(yscale="log", xlim=(-13, 13), ylim=(2e-5, 2), xticks=[-10, 0, 10], yticks=[1e-4, 1e-2, 1])
        left.set_xlabel(look.say("z-score", "标准分数"))
        left.set_ylabel(look.say("density", "密度"))
        _layers(middle, look, found)
        middle.set_title(look.say("kurtosis, at first", "峰度，训练前"))
        middle.set_xlabel(look.say("weight matrix", "权重矩阵"))
        middle.set(xticks=[1, 5, 9], xlim=(0.5, 9.5))
        _training(right, look, found)
        right.set_title(look.say("kurtosis, later", "峰度，训练中"))
        right.set_xlabel(look.say("step", "步"))
        for axes in (middle, right):
            axes.set(yscale="log", ylim=(1, 100))
            axes.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        for axes in (left, middle, right):
            axes.minorticks_off()
    return page


def _histogram(axes: Axes, look: Look, found: Results) -> None:
    """The densities, all seeds together, beside the normal one; empty bins are left out."""
    z = (EDGES[1:] + EDGES[:-1]) / 2
    said = {False: look.say("without", "没有批归一化"), True: look.say("with batch norm", "有批归一化")}
    for batch_norm, role in ((False, "without"), (True, "with")):
        counts = found.values("counts", activation="relu", batch_norm=batch_norm).sum(axis=0)
        density = counts / (counts.sum() * (EDGES[1] - EDGES[0]))
        style = look.marked(role, label=said[batch_norm], ms=2.6 * look.scale)
        axes.plot(z[counts > 0], density[counts > 0], **style)
    normal = np.linspace(-4.4, 4.4, 89)
    axes.plot(
        normal,
        np.exp(-(normal**2) / 2) / (2 * np.pi) ** 0.5,
        **look.line("reference", label=look.say("normal", "正态")),
    )


def _layers(axes: Axes, look: Look, found: Results) -> None:
    matrices = np.arange(1, len(HIDDEN) + 2)
    axes.axhline(3, **look.line("reference"))
    for batch_norm, role in ((False, "without"), (True, "with")):
        for activation in found.settings("activation"):
            values = found.values("kurtosis", activation=activation, batch_norm=batch_norm)
            if activation == "relu":
                band(axes, look, role, matrices, values, marked=True, ms=3.5 * look.scale)
            else:
                axes.plot(matrices, values.mean(axis=0), **look.line(role, lw=0.8 * look.scale))


def _training(axes: Axes, look: Look, found: Results) -> None:
    axes.axhline(3, **look.line("reference"))
    for batch_norm, role in ((False, "without"), (True, "with")):
        runs = [run.measured for run in found.where(activation="relu", batch_norm=batch_norm)]
        longest = min(len(run["curve"]) for run in runs)
        values = np.array([run["curve"][:longest] for run in runs], dtype=float)
        band(axes, look, role, runs[0]["steps"][:longest], values)
