"""A photograph through a sigmoid, as it is and normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.figures.studio.saturation import SIGMOID, normalized

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Pixels from 0 to 255 blind a sigmoid", "0 到 255 的像素让 sigmoid 失明"),
    reading=Words(
        "A sigmoid answers nearly every pixel of a photograph with 1; once the pixels are normalized, the picture comes"
        " through.",
        "sigmoid 对照片的几乎每个像素都回答 1；像素归一化之后，图像才能通过。",
    ),
    caption=Words(
        f"A real photograph. Saturated: $|z| > {SIGMOID.high:.2f}$, slope below 5 % of its maximum.",
        f"真实照片。饱和：$|z| > {SIGMOID.high:.2f}$，斜率低于最大值的 5 %。",
    ),
)


class Pictures(NamedTuple):
    """The photograph's pixels, the sigmoid's answers to them and to the normalized ones, and who is saturated."""

    pixels: Array
    answers: Array
    normalized: Array
    saturated: float
    saturated_normalized: float


def pictures() -> Pictures:
    """The photograph in grey, from 0 to 255, and what becomes of it; the shares are in percent."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image("china.jpg")[::4, ::4].mean(axis=2)
    z = normalized(pixels.reshape(-1, 1)).reshape(pixels.shape)
    shares = [100 * sum(SIGMOID.saturated(values)) for values in (pixels, z)]
    return Pictures(pixels, SIGMOID.value(pixels), SIGMOID.value(z), *shares)


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure; nothing in it is drawn by chance."""
    from bncheck.figures.studio.page import new_page

    found = pictures()
    with new_page(ABOUT, look, seed) as page:
        panels = page.subplots(2, 3, height_ratios=(2, 1))
        spaced: Any = page.get_layout_engine()
        spaced.set(wspace=0.06)
        off, on = (f"{share:.0f} % {look.say('saturated', '饱和')}" for share in found[3:])
        columns = (
            (found.pixels, 255, "reference", look.say("pixels $x$", "像素 $x$")),
            (found.answers, 1, "without", rf"$\sigma(x)$: {off}"),
            (found.normalized, 1, "with", rf"$\sigma(\hat{{x}})$: {on}"),
        )
        for (top, bottom), (values, most, role, title) in zip(panels.T, columns, strict=True):
            top.imshow(values, cmap="gray", vmin=0, vmax=most, interpolation="none")
            top.set(xticks=[], yticks=[])
            top.spines[:].set(visible=True, color=look.colour("line"))
            top.set_title(title)
            _histogram(bottom, look, values / most, role)
            bottom.set_xticks([0, 1], ["0", f"{most:g}"])
            for label, side in zip(bottom.get_xticklabels(), ("left", "right"), strict=True):
                label.set_ha(side)
    return page


def _histogram(axes: Axes, look: Look, values: Array, role: str) -> None:
    heights, bounds = np.histogram(values, bins=32, range=(0, 1))
    axes.stairs(heights / heights.max(), bounds, fill=True, **look.area(role, linewidth=0.7 * look.scale))
    axes.set(xlim=(0, 1), ylim=(0, 1.1), yticks=[])
    axes.spines.left.set_visible(False)
