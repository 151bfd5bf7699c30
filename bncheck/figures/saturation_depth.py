"""Saturation and the gradient's size, layer by layer, in a deep network without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import SIGMOID, batch_norm_case, digits, normalized
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("With batch norm gradients reach layer 1", "有批归一化，梯度能到达第一层"),
    reading=Words(
        "Without batch norm the gradient is multiplied by the same factor in each layer, and vanishes or explodes with"
        " the scale of the weights; with it the factor is near 1 at every scale.",
        "没有批归一化时，梯度每过一层就乘以同一个因子，随权重尺度而消失或爆炸；有了它，任何尺度下该因子都接近 1。",
    ),
    caption=Words(
        "Sigmoids, 20 layers of 100 units, 64 real digits; weights with standard deviation s/10."
        rf" Batch norm with $\gamma=1$, $\beta=0$. Saturated: $|z| > {SIGMOID.high:.2f}$. ×: per layer, going back.",
        "sigmoid，20 层，每层 100 个单元，64 张真实手写数字；权重标准差为 s/10。"
        rf"批归一化取 $\gamma=1$、$\beta=0$。饱和：$|z| > {SIGMOID.high:.2f}$。"
        "×：每往回一层的因子。",
    ),
)

DEPTH, WIDTH = 20, 100

SCALES = (1.0, 4.0, 16.0)
"""Standard deviations of the weights, in units of 1/√width."""

ROLES = ("first", "second", "fourth")


class Network(NamedTuple):
    """What a forward and a backward pass found in each layer, the first one first."""

    saturated: Array
    """The share of its pre-activations, in percent."""
    gradient: Array
    """The norm of the loss's gradient with respect to its weights."""

    @property
    def factor(self) -> float:
        """By what the gradient is multiplied from a layer to the one before: the line's slope on a log axis."""
        layers = np.arange(len(self.gradient))
        return float(np.exp(-np.polyfit(layers, np.log(self.gradient), 1)[0]))


def network(seed: int, scale: float, with_batch_norm: bool) -> Network:
    """Twenty layers W, (batch norm), sigmoid, with random weights and a random gradient at the output."""
    rng = np.random.default_rng(seed)
    a = digits(rng) / 16
    kept: list[tuple[Array, Array, Array, Array]] = []
    for _ in range(DEPTH):
        weights = rng.normal(scale=scale / WIDTH**0.5, size=(a.shape[1], WIDTH))
        product = a @ weights
        z = normalized(product) if with_batch_norm else product
        kept.append((a, weights, product, z))
        a = SIGMOID.value(z)
    upstream = rng.normal(size=a.shape)
    norms = []
    for a, weights, product, z in reversed(kept):
        dz = upstream * SIGMOID.slope(z)
        dproduct = graph.vjp(LAYERS["batch_norm"], batch_norm_case(product, dz))["dx"] if with_batch_norm else dz
        norms.append(float(np.linalg.norm(a.T @ dproduct)))
        upstream = dproduct @ weights.T
    saturated = [100 * sum(SIGMOID.saturated(z)) for *_, z in kept]
    return Network(np.array(saturated), np.array(norms[::-1]))


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1, 2))
        for column, with_batch_norm in zip(panels.T, (False, True), strict=True):
            found = {scale: network(seed, scale, with_batch_norm) for scale in SCALES}
            for role, (scale, layers) in zip(ROLES, found.items(), strict=True):
                _lines(column, look, role, f"$s = {scale:g}$", layers)
            _factors(column[1], look, list(found.values()))
            column[1].set(xlabel=look.say("layer", "层"), xticks=[1, 5, 10, 15, 20], xlim=(0, 21))
        panels[0, 0].set(title=look.say("without batch norm", "没有批归一化"), ylim=(0, 104), yticks=[0, 50, 100])
        panels[0, 1].set_title(look.say("with batch norm", "有批归一化"))
        panels[0, 0].set_ylabel(look.say("saturated, %", "饱和，%"))
        panels[1, 0].set(ylabel=look.say("gradient norm", "梯度范数"), yscale="log", ylim=(1e-14, 1e8))
        panels[1, 0].set_yticks([1e-10, 1e-5, 1, 1e5])
        panels[1, 0].minorticks_off()
        page.key(panels[1, 0])
    return page


def _lines(column: list[Axes], look: Look, role: str, label: str, found: Network) -> None:
    layers = np.arange(1, DEPTH + 1)
    style = look.marked(role, label=label, ms=3 * look.scale, lw=1.3 * look.scale, clip_on=False)
    for axes, values in zip(column, (found.saturated, found.gradient), strict=True):
        axes.plot(layers, values, **style)


def _factors(axes: Axes, look: Look, found: list[Network]) -> None:
    """Writes on each line by what a layer multiplies the gradient; once where the lines say the same."""
    said = [f"×{network.factor:.2f}" for network in found]
    if len(set(said)) == 1:
        words = look.say(f"each: {said[0]} per layer", f"都是每层 {said[0]}")
        axes.text(10.5, 1e-3, words, ha="center", va="center", weight="bold")
        return
    for role, words, network in zip(ROLES, said, found, strict=True):
        place = look.beside(0, 11 if network.factor > 1 else -11, ha="left", weight="bold", color=look.colour(role))
        axes.annotate(words, (1, network.gradient[0]), **place)
