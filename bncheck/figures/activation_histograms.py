"""The outputs of five hidden layers, without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import BATCH, SIGMOID, UNITS, digits, normalized

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Batch norm keeps outputs off 0 and 1", "批归一化让输出远离 0 和 1"),
    reading=Words(
        "Without batch norm the outputs of every layer pile up at 0 and 1; with it they stay where the sigmoid is"
        " responsive.",
        "没有批归一化时，每一层的输出都堆积在 0 和 1；有了它，输出留在 sigmoid 灵敏的区域。",
    ),
    caption=Words(
        f"{UNITS} sigmoids in each layer, {BATCH} real digits, weights from a standard normal; "
        r"batch norm with $\gamma=1$, $\beta=0$."
        f" Bold: the saturated share, $|z| > {SIGMOID.high:.2f}$; below it mean and standard deviation.",
        f"每层 {UNITS} 个 sigmoid，{BATCH} 张真实手写数字，权重取自标准正态分布；"
        r"批归一化取 $\gamma=1$、$\beta=0$。"
        f"粗体：饱和比例，$|z| > {SIGMOID.high:.2f}$；其下为均值与标准差。",
    ),
)

LAYERS = 5


class Outputs(NamedTuple):
    """The outputs of one layer, and the share of its units that were saturated, in percent."""

    values: Array
    saturated: float


def network(seed: int, with_batch_norm: bool) -> list[Outputs]:
    """The outputs of five layers W, (batch norm), sigmoid."""
    rng = np.random.default_rng(seed)
    a = digits(rng) / 16
    found = []
    for _ in range(LAYERS):
        z = a @ rng.normal(size=(a.shape[1], UNITS))
        z = normalized(z) if with_batch_norm else z
        a = SIGMOID.value(z)
        found.append(Outputs(a, 100 * sum(SIGMOID.saturated(z))))
    return found


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(2, LAYERS, sharex=True, sharey=True)
        spaced: Any = page.get_layout_engine()
        spaced.set(wspace=0.08)
        for row, role, with_batch_norm in zip(panels, ("without", "with"), (False, True), strict=True):
            for axes, outputs in zip(row, network(seed, with_batch_norm), strict=True):
                _panel(axes, look, role, outputs)
        for k, axes in enumerate(panels[0]):
            axes.set_title(look.say(f"layer {k + 1}", f"第 {k + 1} 层"))
        for axes in panels[1]:
            for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
                label.set_ha(side)
        panels[0, 0].set_ylabel(look.say("no batch norm", "没有批归一化"))
        panels[1, 0].set_ylabel(look.say("batch norm", "有批归一化"))
        panels[1, LAYERS // 2].set_xlabel(look.say("output of the sigmoid", "sigmoid 的输出"))
    return page


def _panel(axes: Axes, look: Look, role: str, outputs: Outputs) -> None:
    shares, bounds = np.histogram(outputs.values, bins=25, range=(0, 1))
    style = look.area(role, linewidth=0.7 * look.scale)
    axes.stairs(shares / outputs.values.size, bounds, fill=True, **style)
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, 0.97, f"{outputs.saturated:.0f} %", **place, weight="bold")
    axes.text(0.5, 0.8, f"{outputs.values.mean():.2f}\n± {outputs.values.std():.2f}", **place)
    axes.set(xlim=(0, 1), ylim=(0, 0.42), xticks=[0, 1], yticks=[])
