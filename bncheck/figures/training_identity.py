"""Batch norm put in as the identity: the gradient of the weights beside that without, and how training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.identity import HIDDEN, RATES, SHOWN, drawn, ends, places, steps
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results, Setting

ABOUT = About(
    title=Words("Batch norm: identity in value, not in gradient", "批归一化：取值上恒等，梯度上不恒等"),
    reading=Words(
        "Batch norm put into a network as the identity changes no output, but the gradient of the weights is a quarter"
        " as long and points elsewhere: at a rate of 0.1 training goes on slower from fresh weights, and steadier"
        " from trained ones.",
        "把批归一化作为恒等映射放入网络，输出不变，但权重的梯度只有约四分之一长，方向也不同："
        "学习率为 0.1 时，从初始权重出发训练更慢，从训练过的权重出发则更稳。",
    ),
    caption=Words(
        rf"{len(HIDDEN)} layers of 100 ReLUs, trained for 0 or {SHOWN} steps without batch norm, then all {TRAIN}"
        r" digits at each step; $\gamma=(\sigma^2+\varepsilon)^{1/2}$, $\beta=\mu$; a line for each seed. That networks"
        " with batch norm represent more does not follow.",
        rf"{len(HIDDEN)} 层各 100 个 ReLU，先不用批归一化训练 0 或 {SHOWN} 步，之后每步用全部 {TRAIN} 张数字；"
        r"$\gamma=(\sigma^2+\varepsilon)^{1/2}$，$\beta=\mu$；每个随机种子一条线。不能推出有批归一化的网络能表示更多。",
    ),
)

PANELS = ((0, 0.1), (SHOWN, 0.1), (SHOWN, 0.5))
"""From how many steps on, and at which rate, losses are drawn."""

HIGHEST = 60.0
"""Where the panels of losses end."""


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("identity", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        first, *others = page.subplots(1, 1 + len(PANELS), width_ratios=(1.15, 1, 1, 1))
        _gradients(first, look, found)
        page.key(first)
        first.set_title(look.say("∂W: with\nover without", "∂W：有与没有之比"))
        first.set_xlabel(look.say("layer", "层"))
        for axes, (before, rate) in zip(others, PANELS, strict=True):
            setting = drawn(found, before)
            _descent(axes, look, found, setting, rate)
            axes.set(yscale="log", ylim=(0.01, HIGHEST), yticks=[0.01, 0.1, 1, 10])
            axes.set_yticklabels(["0.01", "0.1", "1", "10"] if axes is others[0] else [])
            axes.minorticks_off()
            trained = look.say(f"at step {setting['before']}", f"从第 {setting['before']} 步起")
            axes.set_title(f"{trained}\n$\\eta = {rate:g}$", linespacing=1.35)
        others[0].set_ylabel(look.say("loss", "损失"))
        others[1].set_xlabel(look.say("further steps", "后续步数"))
    return page


def _gradients(axes: Axes, look: Look, found: Results) -> None:
    """Of each layer with batch norm beside that of the same layer without."""
    axes.plot([], [], **look.line("without", label=look.say("without", "没有批归一化")))
    axes.plot([], [], **look.line("with", label=look.say("with batch norm", "有批归一化")))
    layers = np.arange(1, len(HIDDEN) + 2)
    said = {"length": look.say("length", "长度"), "cosine": look.say("cosine", "余弦")}
    for name, role in (("length", "third"), ("cosine", "fourth")):
        values = found.values(name, **drawn(found))
        band(axes, look, role, layers, values, marked=True, ms=4 * look.scale, label=said[name])
    axes.set(ylim=(0, 1.1), yticks=[0, 0.5, 1], xticks=layers)


def _descent(axes: Axes, look: Look, found: Results, setting: Setting, rate: float) -> None:
    """The losses of each seed, as far as they stay in the panel."""
    for run in found.where(**setting):
        for curve, role in zip(run.measured["after"][RATES.index(rate)], ("without", "with"), strict=True):
            losses = np.nan_to_num(np.array(curve, dtype=float), nan=np.inf)
            inside = np.logical_and.accumulate(losses <= HIGHEST)
            axes.plot(np.array(places(steps(found)))[inside], losses[inside], **look.line(role, lw=1.2 * look.scale))
    lost = int(np.isinf(ends(found, rate, **setting)[0]).sum())
    if lost:
        words = look.say(f"{lost} of {len(found.seeds)}\ndiverge", f"{len(found.seeds)} 次中\n{lost} 次发散")
        axes.text(0.97, 0.97, words, transform=axes.transAxes, ha="right", va="top", color=look.colour("without"))
