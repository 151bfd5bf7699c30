"""BatchNorm2d on a batch of colour images: which axes are averaged, and the shape of everything there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from bncheck.figures.studio.board import Board
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("393 216 numbers share three means", "393 216 个数共用三个均值"),
    reading=Words(
        "BatchNorm2d averages over images, rows and columns: a batch of 32 colour images has three means, and three of"
        " everything that is learned, kept, or summed on the way back.",
        "BatchNorm2d 对图像、行和列求平均：32 张彩色图像只有三个均值；可学习的、保存的以及反向求和的量也都各有三个。",
    ),
    caption=Words(
        "BatchNorm2d(3) in training, random images; running statistics start at 0 and 1.",
        "训练模式的 BatchNorm2d(3)，随机图像；滑动统计量初值 0 和 1。",
    ),
)

SHAPE = IMAGES, CHANNELS, HEIGHT, WIDTH = 32, 3, 64, 64

MOMENTUM = 0.1


class Line(NamedTuple):
    """One quantity with a value for each channel: its symbol, how it is computed, and the colour of its values."""

    symbol: str
    rule: str
    values: Array
    role: str


def batch(seed: int) -> Case:
    """Images whose channels have a mean and a spread each; γ and β as if something had been learned."""
    rng = np.random.default_rng(seed)
    means = rng.choice([-1.75, -1.25, -0.75, 0.5, 1.0, 1.5, 2.0], (3, 1, 1), replace=False)
    spreads = rng.choice([0.5, 0.75, 1.0, 1.25, 1.5, 2.0], (3, 1, 1), replace=False)
    x, dy = rng.normal(means, spreads, SHAPE), rng.normal(0, 0.01, SHAPE)
    learned = {
        "gamma": rng.choice([0.5, 0.75, 1.5, 2.0], 3, replace=False),
        "beta": rng.choice([-1.0, -0.5, 0.25, 1.0], 3, replace=False),
    }
    fresh = {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    settings = {"new_weight": MOMENTUM, "ddof": 1}
    return Case(Layout("NCHW", "NHW", "C"), x, dy, learned, state=fresh, settings=settings)


def lines(case: Case, look: Look) -> list[Line]:
    """What there is once for each channel, in the order in which it is needed."""
    done = graph.sweep(LAYERS["batch_norm_running"], case)
    mean = look.say("mean over N, H, W", "对 N、H、W 平均")
    total = look.say("over N, H, W", "对 N、H、W")
    learned = look.say("learned", "可学习")
    running = look.say("running mean", "滑动均值"), look.say("running var.", "滑动方差")
    return [
        Line(r"$\mu$", mean, done.value("mean"), "value"),
        Line(r"$\sigma^2$", mean, done.value("var"), "value"),
        Line(r"$\gamma$", learned, done.value("gamma"), "forward"),
        Line(r"$\beta$", learned, done.value("beta"), "forward"),
        Line(running[0], rf"$0+{MOMENTUM}\,\mu$", done.value("new_running_mean"), "value"),
        Line(running[1], rf"$0.9+{MOMENTUM}\,\sigma^2 m/(m-1)$", done.value("new_running_var"), "value"),
        Line(r"$d\beta$", rf"$\sum dy$ {total}", done.gradient("beta"), "gradient"),
        Line(r"$d\gamma$", rf"$\sum dy\,\hat{{x}}$ {total}", done.gradient("gamma"), "gradient"),
    ]


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.board import Board
    from bncheck.figures.studio.page import new_page

    case = batch(seed)
    with new_page(ABOUT, look, seed) as page:
        _table(Board(page), case, lines(case, look))
    return page


IMAGES_HIGH, LABELS, RULES = 60.0, 60.0, 124.0
"""Room for the images above the table, and for the columns beside the channels."""

ROLES = ("first", "second", "third")


def _table(board: Board, case: Case, rows: list[Line]) -> None:
    """A column for each channel: its images, and below them its number in each line."""
    column = (board.width - LABELS - RULES) / CHANNELS
    middles = LABELS + column * (np.arange(CHANNELS) + 0.5)
    step = (board.height - IMAGES_HIGH) / len(rows)
    levels = board.height - IMAGES_HIGH - step * (np.arange(len(rows)) + 0.5)
    for k, x in enumerate(middles):
        _sheets(board, np.array([x - (FACE + BACK[0]) / 2, board.height - FACE - BACK[1] - 1]), k)
    left = board.width - RULES + 4
    count = f"{case.count:,}".replace(",", " ")
    shapes = (
        r"$x,\ \hat{x},\ y,\ dy,\ dx$:",
        str(case.x.shape),
        rf"$m={IMAGES}\cdot{HEIGHT}\cdot{WIDTH}$",
        f"    = {count}",
    )
    for k, words in enumerate(shapes):
        board.write(words, left, board.height - 8 - 13.5 * k, ha="left")
    for y in levels[::2]:
        board.box((board.width / 2, y), (board.width, step), "panel", fill="panel", zorder=0)
    for y, line in zip(levels, rows, strict=True):
        board.write(line.symbol, 5, y, ha="left")
        for x, value in zip(middles, line.values.ravel(), strict=True):
            board.write(number(float(value), ".2f"), x + 12, y, line.role, ha="right")
        board.write(line.rule, left, y, ha="left")
        board.write("(3,)", board.width - 3, y, "muted", ha="right")


FACE, BACK = 30.0, np.array([21.0, 14.0])
"""The side of an image, and from the first image to where the last is seen."""


def _sheets(board: Board, corner: Array, channel: int) -> None:
    """One channel of all images, as sheets behind one another."""
    look, role = board.look, ROLES[channel]
    square = np.array([(0, 0), (FACE, 0), (FACE, FACE), (0, FACE)])
    for share in np.linspace(1, 0, IMAGES // 2):
        style = look.area(role, linewidth=0.5 * look.scale) | ({} if share == 0 else {"hatch": ""})
        board.area(corner + share * BACK + square, role, **style, zorder=2)
    board.write(f"C {channel}", *(corner + FACE / 2), **look.on_paper())
    if channel == 0:
        board.write(f"H {HEIGHT}", corner[0] - 4, corner[1] + FACE / 2, "muted", ha="right")
        board.write(f"W {WIDTH}", corner[0] + FACE / 2, corner[1] - 7, "muted")
        board.write(f"N {IMAGES}", corner[0] + 4, corner[1] + FACE + BACK[1] - 4, "muted", ha="right")
