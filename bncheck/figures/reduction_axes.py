"""Which elements of a batch of images share their statistics, in four layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Who shares a mean with whom", "谁与谁共享均值"),
    reading=Words(
        "The four layers are one formula; they differ only in the elements that share a mean and a variance.",
        "这四种层是同一个公式；区别只在于哪些元素共享均值和方差。",
    ),
    caption=Words(
        "4 images N, 4 channels C, 6 positions H, W. Hatched: the m elements that share a mean, found by"
        " differentiating.",
        "4 张图像 N、4 个通道 C、6 个位置 H, W。斜线：共享一个均值的 m 个元素，通过求导找到。",
    ),
)

CUBE = IMAGES, CHANNELS, POSITIONS = 4, 4, 6

SHAPES = {
    "batch_norm": (Layout("NCHW", "NHW", "C"), (4, 4, 3, 2)),
    "layer_norm": (Layout("NCHW", "CHW", "CHW"), (4, 4, 3, 2)),
    "instance_norm": (Layout("NCHW", "HW", "C"), (4, 4, 3, 2)),
    "group_norm": (Layout("NGKHW", "KHW", "GK"), (4, 2, 2, 3, 2)),
}
"""Each layer's layout, and the sizes that fill the cube."""


def shared(layer: str, seed: int) -> Array:
    """Which cells, by image, channel and position, share a mean with the first: those that move the first of y."""
    layout, shape = SHAPES[layer]
    x = np.random.default_rng(seed).normal(size=shape)
    dy = np.zeros(shape)
    dy[(0,) * dy.ndim] = 1
    dx = graph.vjp(LAYERS[layer], Case(layout, x, dy))["dx"]
    return np.not_equal(dx, 0).reshape(CUBE)


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    over = {"batch_norm": "N, H, W", "layer_norm": "C, H, W", "instance_norm": "H, W"}
    with new_page(ABOUT, look, seed) as page:
        for axes, layer in zip(page.subplots(1, 4), SHAPES, strict=True):
            cells = shared(layer, seed)
            _cube(axes, look, cells)
            axes.set_title(look.layer(layer), loc="center", weight="bold")
            half = look.say("half of C, H, W", "C 的一半、H、W")
            axes.text(2.2, -1.5, over.get(layer, half), ha="center", va="center")
            axes.text(2.2, -2.5, f"$m = {cells.sum()}$", ha="center", va="center")
    return page


DEPTH = 0.45 * math.cos(math.pi / 4), 0.45 * math.sin(math.pi / 4)
"""One step backwards, as it is drawn."""


def _cube(axes: Axes, look: Look, cells: Array) -> None:
    """The three faces that are seen: channels to the right, positions down, images to the back."""
    from matplotlib.collections import PolyCollection

    faces: dict[bool, list[Array]] = {False: [], True: []}
    for n, c, h in np.ndindex(CUBE):
        within = faces[bool(cells[n, c, h])]
        if n == 0:
            within.append(_face((n, c, h), "C", "H"))
        if h == 0:
            within.append(_face((n, c, h), "N", "C"))
        if c == CHANNELS - 1:
            within.append(_face((n, CHANNELS, h), "N", "H"))
    edge: dict[str, Any] = {"edgecolors": look.colour("muted"), "linewidths": 0.6 * look.scale}
    axes.add_collection(PolyCollection(faces[False], facecolors=look.colour("panel"), **edge))
    style: dict[str, Any] = {"facecolors": look.tint("with", 0.45), "edgecolors": look.colour("with"), "hatch": "//"}
    axes.add_collection(PolyCollection(faces[True], **style, linewidths=0.6 * look.scale))
    middle = CHANNELS / 2, IMAGES / 2 * DEPTH[0], IMAGES / 2 * DEPTH[1]
    axes.text(middle[0], -0.45, "C", ha="center", va="center")
    axes.text(-0.3, POSITIONS / 2, "H, W", ha="right", va="center", rotation=90)
    axes.text(CHANNELS + middle[1] + 0.45, middle[2] - 0.35, "N", ha="center", va="center")
    right, top = CHANNELS + IMAGES * DEPTH[0], POSITIONS + IMAGES * DEPTH[1]
    axes.set(xlim=(-1.1, right + 0.1), ylim=(-3, top + 0.1), aspect="equal")
    axes.axis("off")


def _face(corner: tuple[int, int, int], first: str, second: str) -> Array:
    """A cell's square on the page, from its image, channel and position, spanned by two of the axes N, C and H."""
    steps = {"N": (1, 0, 0), "C": (0, 1, 0), "H": (0, 0, 1)}
    corners = [np.array(corner) + i * np.array(steps[first]) + j * np.array(steps[second])
               for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]  # fmt: skip
    return np.array([(c + n * DEPTH[0], POSITIONS - h + n * DEPTH[1]) for n, c, h in corners])
