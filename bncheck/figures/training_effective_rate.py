"""Weights before batch norm over the steps at four rates, their effective rates, and how exact the reason for it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.effective_rate import BATCH, RATES, SHOWN, effective, sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("Batch norm makes weights grow and rates shrink", "批归一化使权重增大，有效学习率下降"),
    reading=Words(
        "The gradient of weights before batch norm is perpendicular to them, so they only grow, and the effective rate"
        " η/|W|² falls: the more, the larger the rate.",
        "批归一化之前的权重与其梯度正交，因此只增不减，有效学习率 η/|W|² 随之下降：学习率越大，降得越多。",
    ),
    caption=Words(
        f"Digits, three layers of 100 ReLUs, the middle one drawn; batches of {BATCH}, SGD, float64. Lines: ε = 0, no γ"
        " and β, which would feel the whole rate. Bands: all seeds.",
        f"手写数字，三层各 100 个 ReLU，图示中间一层；每批 {BATCH} 张，SGD，float64。曲线：ε = 0，没有 γ 和 β，"
        "它们会承受整个学习率。色带：全部随机种子。",
    ),
)

ROLES = ("first", "second", "third", "fourth")


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("effective-rate", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, middle, right = page.subplots(1, 3, width_ratios=(5, 5, 4))
        for role, rate in zip(ROLES, RATES, strict=True):
            label = look.say(f"rate {rate:g}", f"学习率 {rate:g}")
            _curve(left, look, role, sizes(found, "exact", rate), label)
            _curve(middle, look, role, effective(found, "exact", rate), label)
        page.key(left)
        _angles(right, look, found)
        left.set_title(look.say("weights $|W|$", "权重 $|W|$"))
        middle.set_title(look.say(r"effective rate $\eta/|W|^2$", r"有效学习率 $\eta/|W|^2$"))
        right.set_title(look.say(r"cos$(W, \partial\ell/\partial W)$", r"$W$ 与 $\partial\ell/\partial W$ 的余弦"))
        for axes in (left, middle):
            axes.set(xscale="log", yscale="log")
            axes.set_xticks([1, 10, 100], ["1", "10", "100"])
            axes.minorticks_off()
            axes.set_xlabel(look.say("step", "步"))
    return page


def _curve(axes: Axes, look: Look, role: str, values: Array, label: str) -> None:
    """As it is before the first step, the second, and so on."""
    steps = [step + 1 for step in SHOWN[: values.shape[1]]]
    band(axes, look, role, steps, values, marked=True, markevery=(ROLES.index(role), 4), ms=4 * look.scale, label=label)


def _angles(axes: Axes, look: Look, found: Results) -> None:
    """How far weights and gradient are from perpendicular at most: a point for each rate and seed."""
    rows = {
        "exact": r"$\varepsilon = 0$",
        "usual": r"$\varepsilon = 10^{-5}$",
        "none": look.say("none", "不归一化"),
    }
    for y, kind in enumerate(rows):
        angles = found.values("angle", kind=kind)
        axes.plot(angles, np.full(len(angles), y), **look.points("forward", clip_on=False))
    axes.set_yticks(range(len(rows)), list(rows.values()))
    axes.set(xscale="log", xlim=(1e-18, 1), ylim=(len(rows) - 0.5, -0.5), xticks=[1e-16, 1e-8, 1])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.set_xlabel(look.say("largest, all steps", "各步的最大值"))
