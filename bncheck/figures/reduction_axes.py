"""Which elements of a batch of images share their statistics, and along which axes γ and β vary, in five layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Layers differ in who shares a mean", "各种层的区别：谁共享均值"),
    reading=Words(
        "Four layers are one formula; they differ only in the elements that share a mean and a variance, and in where γ"
        " and β vary. RMS norm has a mean square in their place, and no β.",
        "四种层是同一个公式；区别只在于哪些元素共享均值和方差，以及 γ 和 β 沿哪些轴变化。"
        "均方根归一化以均方代之，且没有 β。",
    ),
    caption=Words(
        "4 images N, 4 channels C, 6 positions H, W. Hatched: the m elements with one mean (rms: mean square). Thick"
        " edges: γ and β vary.",
        "4 张图像 N、4 个通道 C、6 个位置 H、W。斜线：共享均值（均方根归一化：均方）的 m 个元素。粗边：γ、β 沿此变化。",
    ),
)

CUBE = IMAGES, CHANNELS, POSITIONS = 4, 4, 6

SHAPES = {
    "batch_norm": (Layout("NCHW", "NHW", "C"), (4, 4, 3, 2)),
    "layer_norm": (Layout("NCHW", "CHW", "CHW"), (4, 4, 3, 2)),
    "instance_norm": (Layout("NCHW", "HW", "C"), (4, 4, 3, 2)),
    "group_norm": (Layout("NGKHW", "KHW", "GK"), (4, 2, 2, 3, 2)),
    "rms_norm": (Layout("NCHW", "CHW", "CHW"), (4, 4, 3, 2)),
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


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        for axes, layer in zip(page.subplots(1, len(SHAPES)), SHAPES, strict=True):
            cells = shared(layer, seed)
            _cube(axes, look, cells, "H" in SHAPES[layer][0].affine)
            axes.set_title(look.layer(layer).replace(" ", "\n"), loc="center", weight="bold")
            parameters = ", ".join("γβ"[: len(LAYERS[layer].parameters)])
            words = (_listed(layer, "reduced"), f"$m = {cells.sum()}$", f"{parameters}: {_listed(layer, 'affine')}")
            for k, (text, colour) in enumerate(zip(words, ("with", "with", "second"), strict=True)):
                below = look.beside(0, -25 - 13 * k, ha="center", color=look.colour(colour))
                axes.annotate(text, (CHANNELS / 2, 0), **below)
    return page


def _listed(layer: str, axes: str) -> str:
    """Axes of a layer as one speaks of them: its groups and their channels are C, and a group is half of C.

    >>> _listed("group_norm", "reduced"), _listed("group_norm", "affine")
    ('½ C, H, W', 'C')
    """
    letters = getattr(SHAPES[layer][0], axes).replace("GK", "C").replace("K", "½")
    return ", ".join(letters).replace("½", "½ C")


DEPTH = 0.45 * math.cos(math.pi / 4), 0.45 * math.sin(math.pi / 4)
"""One step backwards, as it is drawn."""


def _cube(axes: Axes, look: Look, cells: Array, everywhere: bool) -> None:
    """The three faces that are seen: channels to the right, positions down, images to the back.

    Thick are the edges along which γ varies: always the channels, and the positions where it does so `everywhere`.
    """
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
    varying = [(CHANNELS, 0), (0, 0), (0, POSITIONS)][: 3 if everywhere else 2]
    axes.plot(*zip(*varying, strict=True), color=look.colour("second"), lw=3.5 * look.scale, zorder=3)
    right, top = CHANNELS + IMAGES * DEPTH[0], POSITIONS + IMAGES * DEPTH[1]
    axes.annotate("C", (CHANNELS / 2, 0), **look.beside(0, -9, ha="center"))
    axes.annotate("H, W", (0, POSITIONS / 2), **look.beside(-5, 0, ha="right", rotation=90))
    axes.annotate("N", ((CHANNELS + right) / 2, (top - POSITIONS) / 2), **look.beside(6, -5, ha="center"))
    axes.set(xlim=(-0.3, right + 0.1), ylim=(-0.3, top + 0.1))
    axes.axis("off")


def _face(corner: tuple[int, int, int], first: str, second: str) -> Array:
    """A cell's square on the page, from its image, channel and position, spanned by two of the axes N, C and H."""
    steps = {"N": (1, 0, 0), "C": (0, 1, 0), "H": (0, 0, 1)}
    corners = [np.array(corner) + i * np.array(steps[first]) + j * np.array(steps[second])
               for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]  # fmt: skip
    return np.array([(c + n * DEPTH[0], POSITIONS - h + n * DEPTH[1]) for n, c, h in corners])
