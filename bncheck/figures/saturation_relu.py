"""The rectifier, its slope, and where pre-activations lie, without batch normalization and with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import BATCH, RELU, batches, draw_responses

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("With batch norm, β decides who is silent", "有了批归一化，β 决定谁沉默"),
    reading=Words(
        "A ReLU is silent for about half of its inputs whatever their scale; after batch norm β alone, in units of γ,"
        " says for how many.",
        "无论输入尺度如何，ReLU 对约一半输入沉默；经过批归一化后，只有 β（以 γ 为单位）决定沉默的比例。",
    ),
    caption=Words(
        f"Silent (hatched): z < 0, where value and slope are 0. {BATCH} real digits, random weights.",
        f"沉默区（斜线）：z < 0，值与斜率都为 0。{BATCH} 张真实手写数字，随机权重。",
    ),
)

AFFINE = ((4.0, 0.0), (4.0, 4.0), (4.0, -4.0))
"""The values of γ and β that are shown."""


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        draw_responses(page, look, RELU, batches(seed, AFFINE))
    return page
