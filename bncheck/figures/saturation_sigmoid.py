"""The sigmoid, its slope, and where pre-activations lie, without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import BATCH, SHARE, SIGMOID, batches, draw_responses

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Batch norm keeps the sigmoid responsive", "批归一化让 sigmoid 保持灵敏"),
    reading=Words(
        "Without batch norm nearly half of the pre-activations lie where the sigmoid hardly moves; with it, at γ = 1"
        " and β = 0, none do, and other γ and β can bring them back there.",
        "没有批归一化时，近一半的预激活值落在 sigmoid 几乎不动的区域；有了它，γ = 1、β = 0 时则没有，"
        "而其他 γ 和 β 可以把它们带回去。",
    ),
    caption=Words(
        f"Saturated (hatched): $|z| > {SIGMOID.high:.2f}$, slope below {100 * SHARE:.0f} % of its maximum."
        rf" {BATCH} real digits, random weights; the title holds at $\gamma=1$, $\beta=0$.",
        f"饱和区（斜线）：$|z| > {SIGMOID.high:.2f}$，斜率低于最大值的 {100 * SHARE:.0f} %。"
        rf"{BATCH} 张真实手写数字，随机权重；标题在 $\gamma=1$、$\beta=0$ 时成立。",
    ),
)

AFFINE = ((1.0, 0.0), (4.0, 0.0), (2.0, 4.0))
"""The values of γ and β that are shown."""


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        draw_responses(page, look, SIGMOID, batches(seed, AFFINE))
    return page
