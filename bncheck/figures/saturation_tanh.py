"""The hyperbolic tangent, its slope, and where pre-activations lie, without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import BATCH, SHARE, TANH, batches, draw_responses

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("tanh saturates twice as early", "tanh 的饱和来得早一倍"),
    reading=Words(
        "tanh stops responding at half the distance at which the sigmoid does, so most pre-activations are saturated"
        " without batch norm; with it, at γ = 1 and β = 0, almost none are.",
        "tanh 在 sigmoid 一半的距离处就不再响应，因此没有批归一化时大多数预激活值饱和；"
        "有了它，γ = 1、β = 0 时则几乎没有。",
    ),
    caption=Words(
        f"Saturated (hatched): $|z| > {TANH.high:.2f}$, slope below {100 * SHARE:.0f} % of its maximum."
        f" {BATCH} real digits, random weights.",
        f"饱和区（斜线）：$|z| > {TANH.high:.2f}$，斜率低于最大值的 {100 * SHARE:.0f} %。"
        f"{BATCH} 张真实手写数字，随机权重。",
    ),
)

AFFINE = ((1.0, 0.0), (4.0, 0.0), (1.0, 3.0))
"""The values of γ and β that are shown."""


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        draw_responses(page, look, TANH, batches(seed, AFFINE))
    return page
