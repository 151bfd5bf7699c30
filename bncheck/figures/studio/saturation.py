"""Saturation: activation functions, where they stop responding, and which pre-activations of real digits lie there.

A unit is saturated where its slope is below `SHARE` of the largest slope its function has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.look import Look
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

SHARE = 0.05

UNITS, BATCH, WEIGHT = 100, 64, 0.1
"""Units, digits in the batch, and the standard deviation of the weights on pixels from 0 to 16."""

REACH = 16.0
"""How far pre-activations are shown."""


class Shares(NamedTuple):
    """The shares of pre-activations that are saturated on the left and on the right."""

    left: float
    right: float


@dataclass(frozen=True)
class Activation:
    """An activation function with its slope; it is saturated below `low` and above `high`.

    `height` and `steepness` are what value and slope are divided by where both are drawn on one axis.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    low: float
    high: float
    words: tuple[str, str]
    height: float = 1
    steepness: float = 1

    def saturated(self, z: Array) -> Shares:
        """How much of z is saturated, on each side.

        >>> SIGMOID.saturated(np.array([-5.0, -4.0, 0.0, 5.0]))
        Shares(left=0.25, right=0.25)
        """
        return Shares(float(np.mean(z < self.low)), float(np.mean(z > self.high)))


def sigmoid(z: Array) -> Array:
    """1 / (1 + e⁻ᶻ), written so that nothing overflows.

    >>> float(sigmoid(np.array(0.0)))
    0.5
    """
    return np.asarray((1 + np.tanh(z / 2)) / 2)


_EDGE = math.atanh(math.sqrt(1 - SHARE))  # tanh′ = 1 − tanh² is SHARE there, and σ(z) = (1 + tanh(z/2)) / 2

SIGMOID = Activation(
    sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z)), -2 * _EDGE, 2 * _EDGE, (r"\sigma(z)", r"4\,\sigma'(z)"), 1, 0.25
)
TANH = Activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2, -_EDGE, _EDGE, (r"\tanh(z)", r"\tanh'(z)"))
RELU = Activation(
    lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, 0, math.inf,
    (rf"\mathrm{{ReLU}}(z)\,/\,{REACH:g}", r"\mathrm{ReLU}'(z)"), REACH,
)  # fmt: skip


def digits(rng: np.random.Generator, count: int = BATCH) -> Array:
    """That many handwritten digits, in random order: (count, 64), pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    pixels = np.asarray(load_digits().data)
    return pixels[rng.choice(len(pixels), size=count, replace=False)]


def pre_activations(seed: int) -> Array:
    """Handwritten digits times random weights: (64, 100)."""
    rng = np.random.default_rng(seed)
    x = digits(rng)
    return np.asarray(x @ rng.normal(scale=WEIGHT, size=(x.shape[1], UNITS)))


def normalized(z: Array, gamma: float = 1, beta: float = 0) -> Array:
    """Batch norm's y for one γ and one β throughout, by its definition."""
    return graph.sweep(LAYERS["batch_norm"], batch_norm_case(z, np.zeros_like(z), gamma, beta)).value("y")


def batch_norm_case(z: Array, dy: Array, gamma: float = 1, beta: float = 0) -> Case:
    """The case in which a batch of pre-activations meets one γ and one β throughout."""
    parameters = {name: np.full(z.shape[1], float(value)) for name, value in (("gamma", gamma), ("beta", beta))}
    return Case(Layout("NC", "N", "C"), z, dy, parameters)


Batches = Mapping[tuple[float, float] | None, Array]
"""Pre-activations: without batch norm under None, with it under (γ, β)."""


def batches(seed: int, affine: tuple[tuple[float, float], ...]) -> Batches:
    """The pre-activations without batch norm, and with it for each γ and β."""
    z = pre_activations(seed)
    return {None: z, **{(gamma, beta): normalized(z, gamma, beta) for gamma, beta in affine}}


def draw_responses(page: Page, look: Look, activation: Activation, shown: Batches) -> None:
    """Four panels: the function, its slope, and the density of the pre-activations on the same axis."""
    panels = page.subplots(2, 2, sharex=True, sharey=True)
    for axes, (affine, z) in zip(panels.flat, shown.items(), strict=True):
        _response(axes, look, activation, z)
        off, on = look.say("without batch norm", "没有批归一化"), look.say("batch norm", "批归一化")
        axes.set_title(off if affine is None else rf"{on}, $\gamma={affine[0]:g},\ \beta={affine[1]:g}$")
    for axes in panels[-1]:
        axes.set_xlabel(look.say("pre-activation $z$", "预激活值 $z$"))
    page.key(panels[0, 0])


def _response(axes: Axes, look: Look, activation: Activation, z: Array) -> None:
    value, slope = activation.words
    x = np.linspace(-REACH, REACH, 401)
    curve = activation.value(x) / activation.height
    marks = {"ms": 4 * look.scale, "zorder": 3}
    axes.plot(x, curve, **look.marked("function", label=f"${value}$", markevery=(25, 50), **marks))
    said = look.say(f"its slope, ${slope}$", f"斜率 ${slope}$")
    slope_line = look.marked("slope", label=said, markevery=(0, 50), **marks)
    axes.plot(x, activation.slope(x) / activation.steepness, **slope_line)
    heights, bounds = np.histogram(z, bins=64, range=(-REACH, REACH))
    said = look.say("where the pre-activations lie", "预激活值的分布")
    density = 0.9 * heights / heights.max()
    axes.stairs(density, bounds, fill=True, color=look.tint("reference", 0.55), zorder=1, label=said)
    bottom = -1.12 if curve.min() < 0 else 0.0
    edges = (max(activation.low, -REACH), min(activation.high, REACH))
    for side, edge, share in zip((-1, 1), edges, activation.saturated(z), strict=True):
        if abs(edge) == REACH:
            continue
        axes.axvspan(edge, side * REACH, **look.area("saturated", zorder=0, alpha=0.45))
        place, middle = (edge + side * REACH) / 2, bottom / 2 or 0.5
        axes.text(place, middle, f"{100 * share:.0f} %", ha="center", va="center", weight="bold", **look.on_paper())
    axes.set(xlim=(-REACH, REACH), ylim=(bottom, 1.12), xticks=[-10, -5, 0, 5, 10])
    axes.set_yticks([-1, 0, 1] if bottom else [0, 0.5, 1])
