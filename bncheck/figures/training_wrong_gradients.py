"""Every bug of the catalogue trained with: where it ends, beside the correct code, and what its loss looks like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import band, origin, results_of
from bncheck.training.experiments.wrong_gradients import BATCH, NONE, RATE, STEPS, bugs, outcomes, right, told
from bncheck.training.laboratory.data import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("Most wrong gradients train like the right one", "多数错误的梯度训练起来与正确的无异"),
    reading=Words(
        "Left: each point is a bug of the catalogue as the normalization of a network, and where that ends, shallow and"
        " deep. Right: the losses of four, and of the correct code. Most cannot be told from it.",
        "左：每个点是目录中的一个错误作为网络的归一化，在浅层和深层网络中的结果。右：其中四个与正确代码的损失。"
        "多数无法与之区分。",
    ),
    caption=Words(
        f"{TRAIN} digits, SGD at rate {RATE}, {STEPS} batches of {BATCH}; ReLUs in layers of 100, or convolutions."
        " Bars and bands: all seeds. What does not show here may do so elsewhere.",
        f"{TRAIN} 张数字，SGD 学习率 {RATE}，{STEPS} 批，每批 {BATCH} 张；每层 100 个 ReLU，或卷积。"
        "横线与色带：全部随机种子。此处看不出的错误在别处仍可能显现。",
    ),
)

NAMED = {
    "zero": Words("dx ≡ 0", "dx ≡ 0"),
    "mean-path-missing": Words("mean path missing", "缺均值路径"),
    "training-uses-running-statistics": Words("running statistics", "误用滑动统计量"),
}
"""The points that bear a name."""

CURVES = {
    NONE: ("correct", Words("correct", "正确")),
    "variance-path-missing": ("fifth", Words("variance path missing", "缺方差路径")),
    "gamma-missing": ("fourth", Words("γ missing", "缺 γ")),
    "mean-path-missing": ("second", Words("mean path missing", "缺均值路径")),
    "zero": ("wrong", Words("dx ≡ 0", "dx ≡ 0")),
}
"""The losses that are shown, each by its role."""


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("wrong-gradients", results)
    with new_page(ABOUT, look, seed, origin=origin(found)) as page:
        left, curves = page.subplots(1, 2)
        _ends(left, look, found)
        _losses(curves, look, found)
        page.key(curves)
    return page


def _ends(axes: Axes, look: Look, found: Results) -> None:
    """Test accuracy in the deep network against that in the shallow one."""
    hidden = 0
    for role in ("wrong", "reference"):
        for bug in bugs(found):
            (few, shallow), (many, deep) = outcomes(found, bug).items()
            shows = told(found, bug, few) or told(found, bug, many)
            if shows != (role == "wrong"):
                continue
            hidden += not shows
            if shallow is None or deep is None:
                continue
            thin: dict[str, Any] = {"color": look.tint(role, 0.5), "lw": look.scale, "zorder": 1}
            axes.plot([shallow.low, shallow.high], [deep.mean, deep.mean], **thin)
            axes.plot([shallow.mean, shallow.mean], [deep.low, deep.high], **thin)
            axes.plot(shallow.mean, deep.mean, **look.points(role, ms=4 * look.scale))
            if bug in NAMED:
                place = look.beside(-7, 0, ha="right", fontsize=8.5 * look.scale)
                axes.annotate(look.say(*NAMED[bug]), (shallow.low, deep.mean), **place, **look.on_paper())
    count, broken = len(bugs(found)), sum(None in outcomes(found, bug).values() for bug in bugs(found))
    correct = [right(found, "zero", depth).mean for depth in outcomes(found, "zero")] if found.where(bug="zero") else []
    if correct:
        axes.plot(*correct, **look.points("correct", ms=8 * look.scale, markerfacecolor="none", mew=1.6 * look.scale))
    axes.text(0.03, 1.09, look.say(f"{broken} break off at once", f"{broken} 个立即中断"), va="center")
    axes.set(xlim=(0, 1.04), ylim=(0, 1.16), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set_xlabel(look.say("test accuracy, shallow network", "测试准确率，浅层网络"))
    axes.set_ylabel(look.say("deep network", "深层网络"))
    words = look.say(f"{hidden} of {count} as good as correct", f"{count} 个中 {hidden} 个与正确的一样好")
    axes.set_title(words, weight="bold")


def _losses(axes: Axes, look: Look, found: Results) -> None:
    """The losses in the deep dense network."""
    deep = max(run.setting["depth"] for run in found.where(bug=NONE, net="dense", layer="batch_norm"))
    for bug, (role, said) in CURVES.items():
        runs = found.where(bug=bug, net="dense", layer="batch_norm", depth=deep)
        if not runs:
            continue
        values = np.array([run.measured["loss"] for run in runs], dtype=float)
        steps = (np.arange(values.shape[1]) + 0.5) * STEPS / values.shape[1]
        band(axes, look, role, steps, values, marked=True, label=look.say(*said), ms=4 * look.scale)
    axes.set(yscale="log", xlim=(0, STEPS))
    axes.set_xlabel(look.say("step", "步"))
    axes.set_title(look.say(f"loss, {deep} hidden layers", f"损失，{deep} 个隐藏层"))
