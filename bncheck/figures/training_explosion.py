"""The squared gradient in sixty layers with batch norm, and its factor per layer at several batch sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.trained import origin, results_of
from bncheck.training.experiments.explosion import LARGE, SMALL, WIDTH, predicted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page
    from bncheck.training.laboratory.results import Results

ABOUT = About(
    title=Words("With batch norm and ReLUs the gradient explodes", "批归一化加 ReLU，梯度会爆炸"),
    reading=Words(
        "In a deep random network of ReLUs with batch norm the gradient grows by the same factor in every layer on its"
        " way back, as mean field theory predicts, and by more in small batches; with He's weights and no batch norm it"
        " keeps its size.",
        "在有批归一化的深层随机 ReLU 网络中，梯度每往回一层都增大同一倍数，与平均场理论的预测一致，批越小倍数越大；"
        "没有批归一化而用 He 初始化时，梯度大小不变。",
    ),
    caption=Words(
        f"Layers of {WIDTH}, random inputs and weights, $\\varepsilon = 0$, no training, no skip connections."
        " $h = xW$, what batch norm is given. Predicted for infinite width, ReLU for large $B$; without: He's weights.",
        f"每层 {WIDTH} 个单元，输入和权重随机，$\\varepsilon = 0$，不训练，无跳跃连接。$h = xW$，即批归一化的输入。"
        "预测针对无限宽度，ReLU 还要求 $B$ 很大，没有批归一化者用 He 初始化。",
    ),
)


class Kind(NamedTuple):
    """A network of the left panel, and how it is drawn."""

    activation: str
    batch_norm: bool
    batch: int
    role: str


KINDS = (Kind("relu", True, LARGE, "with"), Kind("linear", True, SMALL, "third"), Kind("relu", False, LARGE, "without"))


@figure
def draw(look: Look = Look(), seed: int = 0, results: Path | None = None) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    found = results_of("explosion", results)
    seeds = origin(found).partition(" · ")[2]  # it is made without data
    with new_page(ABOUT, look, seed, origin=seeds) as page:
        left, right = page.subplots(1, 2, width_ratios=(5, 4))
        left.set(yscale="log", xlabel=look.say("layer", "层"))
        right.set(xscale="log", xlabel=look.say("batch size B", "批大小 B"))
        _layers(left, look, found)
        _factors(right, look, found)
        page.key(left)
        left.set_title(look.say(f"{SQUARE}, last layer: 1", f"{SQUARE}，末层为 1"))
        right.set_title(look.say("its factor per layer", "每层的因子"))
        for axes in (left, right):
            axes.minorticks_off()
    return page


SQUARE = r"$|\partial\ell/\partial h|^2$"


def _layers(axes: Axes, look: Look, found: Results) -> None:
    """Measured as points; as a line what the prediction makes of the last layer's."""
    said = {
        "with": look.say(f"ReLU, B = {LARGE}", f"ReLU，B = {LARGE}"),
        "third": look.say(f"linear, B = {SMALL}", f"线性，B = {SMALL}"),
        "without": look.say("ReLU, without", "ReLU，没有批归一化"),
    }
    label = look.say("predicted", "预测")
    for kind in KINDS:
        setting = {"activation": kind.activation, "batch_norm": kind.batch_norm, "batch": kind.batch}
        layers = found.values("layers", **setting)[0]
        mean = np.exp(np.log(found.values("squares", **setting)).mean(axis=0))
        chosen = slice(None, None, -(-len(layers) // 14))
        style = look.points(kind.role, label=said[kind.role], ms=3.8 * look.scale)
        axes.plot(layers[chosen], mean[chosen], **style)
        factor = predicted(kind.activation, kind.batch) if kind.batch_norm else 1.0
        style = look.line("reference", lw=1.2 * look.scale, zorder=1, label=label if kind is KINDS[-1] else None)
        axes.plot(layers, factor ** (layers[-1] - layers), **style)


def _factors(axes: Axes, look: Look, found: Results) -> None:
    """Measured by batch size, and predicted."""
    for activation, role in (("relu", "with"), ("linear", "third")):
        setting = {"activation": activation, "batch_norm": True}
        batches = found.settings("batch", **setting)
        means = [found.spread("factor", **setting, batch=batch).mean for batch in batches]
        axes.plot(batches, means, **look.points(role, ms=4.4 * look.scale))
        sizes = np.geomspace(min(batches), max(batches), 60)
        theory = [predicted(activation, size) for size in sizes]
        axes.plot(sizes, theory, **look.line("reference", lw=1.2 * look.scale, zorder=1))
    axes.set_xticks(batches, [str(batch) for batch in batches])
