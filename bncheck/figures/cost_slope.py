"""The cost of two neurons as a curve over a weight: its slope by the chain rule, and a step of gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.chain import Chain
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Where the curve is flat, a step leads nowhere", "曲线平坦处，一步迈不出去"),
    reading=Words(
        "The same two neurons at two weights: the slope of the cost is the product of five factors, and one of them,"
        " σ′ of the first neuron, decides how far a step leads.",
        "同样的两个神经元，两个权重：代价的斜率是五个因子的乘积，其中第一个神经元的 σ′ 决定一步能走多远。",
    ),
    caption=Words(
        r"$C=(a_2-t)^2$, $t=0$; $a=\sigma(z)$, $z=w\,a+b$. A step, to the hollow sign:"
        r" $w_1\leftarrow w_1-100\,\partial C/\partial w_1$.",
        r"$C=(a_2-t)^2$，$t=0$；$a=\sigma(z)$，$z=w\,a+b$。一步（到空心方块）："
        r"$w_1\leftarrow w_1-100\,\partial C/\partial w_1$。",
    ),
)

RATE = 100.0
"""The learning rate: large, so that one sees the step."""

WITHIN, BEYOND, REACH = 0.5, 6.0, 10.0
"""The first pre-activation where the neuron responds and where it is saturated, and how far it is shown."""


def chain(seed: int, z1: float) -> Chain:
    """The neurons of a seed, whose first weight is such that z₁ is what is asked for, to a tenth."""
    drawn = Chain.of(seed)
    return with_weight(drawn, round((z1 - drawn.values["b1"]) / drawn.values["x"], 1))


def with_weight(given: Chain, w1: float) -> Chain:
    """The same neurons with another first weight."""
    return Chain.at(w1=w1, **{name: given.values[name] for name in ("x", "b1", "w2", "b2")})


def curve(given: Chain) -> tuple[Array, Array]:
    """Weights, and the cost at each."""
    weights = (np.linspace(-REACH, REACH, 201) - given.values["b1"]) / given.values["x"]
    return weights, np.array([with_weight(given, float(w1)).values["C"] for w1 in weights])


def step(given: Chain) -> Chain:
    """After one step of gradient descent on the first weight."""
    return with_weight(given, given.values["w1"] - RATE * given.gradients["w1"])


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    places = {
        look.say("responsive", "灵敏区"): chain(seed, WITHIN),
        look.say("saturated", "饱和区"): chain(seed, BEYOND),
    }
    with new_page(ABOUT, look, seed) as page:
        grid = page.add_gridspec(2, 2, height_ratios=(1.9, 1))
        left = page.add_subplot(grid[0, 0])
        panels = left, page.add_subplot(grid[0, 1], sharex=left, sharey=left)
        for axes, (name, given) in zip(panels, places.items(), strict=True):
            _panel(axes, look, name, given)
        left.set_ylabel(look.say("cost $C$", "代价 $C$"))
        _factors(page.add_subplot(grid[1, :]), look, places)
    return page


def _panel(axes: Axes, look: Look, name: str, given: Chain) -> None:
    """The curve, the tangent at a weight, and where a step leads."""
    weights, costs = curve(given)
    w1, cost, slope = given.values["w1"], given.values["C"], given.gradients["w1"]
    after = step(given)
    axes.plot(weights, costs, **look.line("function"))
    low, high = float(costs.min()), float(costs.max())
    reach = min(0.2 * float(np.ptp(weights)), 0.5 * (high - low) / slope)
    ends = np.array([w1 - reach, w1 + reach])
    axes.plot(ends, cost + slope * (ends - w1), **look.line("slope", lw=1.5 * look.scale))
    axes.plot(w1, cost, **look.points("slope", ms=6 * look.scale, zorder=4))
    hollow = {"markerfacecolor": look.colour("paper"), "mew": 1.4 * look.scale}
    axes.plot(after.values["w1"], after.values["C"], **look.points("slope", ms=9 * look.scale, zorder=3, **hollow))
    to = " → ".join(number(weight, ".1f") for weight in (w1, after.values["w1"]))
    axes.set(ylim=(low - 0.2 * (high - low), high + 0.2 * (high - low)), xlabel=f"$w_1$: {to}")
    axes.locator_params(nbins=4)
    axes.set_title(name)


_FACTORS = {
    ("a2", "C"): (r"$2(a_2-t)$", ".3f"),
    ("z2", "a2"): (r"$\sigma'(z_2)$", ".3f"),
    ("a1", "z2"): ("$w_2$", ".1f"),
    ("z1", "a1"): (r"$\sigma'(z_1)$", ".4f"),
    ("w1", "z1"): ("$a_0$", ".1f"),
}
"""How each factor is written, and its number; weights and inputs are tenths."""


def _factors(axes: Axes, look: Look, places: dict[str, Chain]) -> None:
    """∂C/∂w₁ as a product: a column for each factor, a row for each weight."""
    axes.set(xlim=(0, 1), ylim=(0, 3))
    axes.axis("off")
    middles = 0.25 + 0.143 * np.arange(6)
    heads = [*(head for head, _ in _FACTORS.values()), r"$\partial C/\partial w_1$"]
    for x, head in zip(middles, heads, strict=True):
        axes.text(x, 2.5, head, ha="center", va="center")
    for row, (name, given) in enumerate(places.items()):
        y = 1.5 - row
        axes.text(0, y, name, va="center")
        texts = [number(given.factors[edge], form) for edge, (_, form) in _FACTORS.items()]
        for k, (x, text) in enumerate(zip(middles, [*texts, number(given.gradients["w1"], ".4f")], strict=True)):
            colour = look.colour("slope" if k in (3, 5) else "forward")
            axes.text(x, y, text, ha="center", va="center", color=colour)
            if k:
                axes.text((x + middles[k - 1]) / 2, y, "=" if k == 5 else "·", ha="center", va="center")
