"""The gradient of a group of three as a vector in space: what batch norm takes from it, and what remains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import cos, radians, sin, sqrt, tan
from typing import TYPE_CHECKING

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
    title=Words("dx is what is left of dy at right angles to 1 and to x̂", "dx 是 dy 中与 1 和 x̂ 都垂直的部分"),
    reading=Words(
        "The gradient that arrives, times γ/s, drops along 1 to the plane of vectors without a mean, and there along x̂;"
        " what remains is dx.",
        "传来的梯度乘以 γ/s 后，先沿 1 落到均值为零的平面，再在平面内沿 x̂ 落下；剩下的就是 dx。",
    ),
    caption=Words(
        "A group of 3 values; the plane: all vectors of mean 0. Exact as ε→0; here ε is 10⁻³⁰.",
        "一组 3 个值；平面：所有均值为 0 的向量。ε→0 时严格成立；这里 ε 为 10⁻³⁰。",
    ),
)

EPS = 1e-30


@dataclass(frozen=True)
class Parts:
    """A case of one group, g = γ/s·dy, its parts along 1 and along x̂, and dx; with s and x̂."""

    case: Case
    s: float
    xhat: Array
    arriving: Array
    along_one: Array
    along_xhat: Array
    dx: Array

    @property
    def vectors(self) -> tuple[Array, Array, Array, Array]:
        """g, what is taken from it, and dx."""
        return self.arriving, self.along_one, self.along_xhat, self.dx

    @property
    def frame(self) -> Array:
        """Three directions at right angles, a row each and of length 1: that of x̂, that in which dx lies, that of 1."""
        one = np.ones(3)
        return np.asarray(np.array([self.xhat, np.cross(self.xhat, one) / sqrt(3), one]) / sqrt(3))

    def sum_up(self) -> bool:
        """Whether the numbers and the squares of the lengths add up as they are written, in two digits."""
        columns = np.array([[*v, v @ v] for v in self.vectors]).round(2)
        return bool(np.allclose(columns[0], columns[1:].sum(axis=0), rtol=0, atol=1e-6))

    def seen(self) -> bool:
        """Whether all parts are about as long as 1 and x̂, and on the side from which one looks."""
        shares = self.frame @ self.arriving / sqrt(3)
        return bool((shares > 0.6).all() and (shares < 1.3).all())


@cache
def parts(seed: int) -> Parts:
    """A group of whole numbers and its dy in halves, drawn until one sees its parts well and the numbers add up."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0], (3, 1), replace=False)
        dy = rng.choice(np.arange(-8, 9) / 2, (3, 1))
        drawn = split(Case(Layout("NC", "N", "C"), x, dy, {"gamma": rng.choice([0.5, 1.5, 2.0, 3.0], 1)}, EPS))
        if drawn.seen() and drawn.sum_up():
            return drawn


def split(case: Case) -> Parts:
    """The parts of a case's one group; dx is the graph oracle's, not what the other parts leave."""
    done = graph.sweep(LAYERS["batch_norm"], case)
    xhat, s = done.value("xhat")[:, 0], float(np.sqrt(done.value("var")[0, 0] + case.eps))
    arriving = case.parameters["gamma"] / s * case.dy[:, 0]
    along_xhat = np.mean(arriving * xhat) * xhat
    dx = done.gradient("x")[:, 0]
    return Parts(case, s, xhat, arriving, np.full(case.count, arriving.mean()), along_xhat, dx)


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.board import Board
    from bncheck.figures.studio.page import new_page

    drawn = parts(seed)
    with new_page(ABOUT, look, seed) as page:
        board = Board(page)
        table = 168.0
        _space(board, drawn, board.width - table - 9)
        _table(board, drawn, board.width - table, table)
    return page


TURN, TILT = radians(35), radians(31)
"""From where one looks: turned about 1, which points upwards, and tilted towards the plane."""


class _View:
    """Space as it is seen on a board, with 1 upwards: an axonometric projection, as large as fits a width.

    `named` is room for words to the right of what hangs from g.
    """

    def __init__(self, board: Board, drawn: Parts, width: float, named: float) -> None:
        self.frame = drawn.frame
        p, q, r = self.frame @ drawn.arriving
        beyond = p + q * tan(TURN) - 0.36  # so that the end of x̂ is seen to the left of what hangs from g
        right, front, back, top = beyond + 0.25, q + 0.22, -0.22, max(r, 1.2) + 0.1
        corners = np.array([(back, back, 0), (right, back, 0), (right, front, 0), (back, front, 0)])
        self.scale, self.shift = 1.0, np.zeros(2)
        seen = np.array([self.of(v @ self.frame) for v in (*corners, (0, 0, top), (p, q, r))])
        low, size = seen.min(axis=0), np.ptp(seen, axis=0)
        beside_tip = (width - named - 6) / (seen[-1] - low)[0]
        self.scale = min(width / size[0], (board.height - 16) / size[1], beside_tip)
        self.shift = np.array([width, board.height]) / 2 - self.scale * (low + size / 2)
        self.plane = np.array([self.of(corner @ self.frame) for corner in corners])
        self.axes = {r"$\hat{x}$": self.of(np.array([beyond, 0, 0]) @ self.frame),
                     "$1$": self.of(np.array([0, 0, top]) @ self.frame)}  # fmt: skip

    def of(self, vector: Array) -> Array:
        """Where the tip of a vector is seen."""
        p, q, r = self.frame @ vector
        away = p * sin(TURN) - q * cos(TURN)
        return np.array([p * cos(TURN) + q * sin(TURN), r * cos(TILT) + away * sin(TILT)]) * self.scale + self.shift

    def right_angle(self, corner: Array, one: Array, other: Array) -> Array:
        """The sign of a right angle: three points."""
        first, second = (SQUARE * v / np.linalg.norm(v) for v in (one, other))
        return np.array([self.of(corner + v) for v in (first, first + second, second)])


SQUARE = 0.17
"""The size of a right angle's sign, in the units of dx."""


def _space(board: Board, drawn: Parts, width: float) -> None:
    """The plane of vectors without a mean, seen from the side, and the way from g down to dx."""
    look = board.look
    along_one, along_xhat = look.say("along 1", "沿 1"), look.say(r"along $\hat{x}$", r"沿 $\hat{x}$")
    view = _View(board, drawn, width, board.measure(along_one, 10).width)
    zero, foot = np.zeros(3), drawn.arriving - drawn.along_one
    board.area(view.plane, "panel", zorder=0)
    for (name, end), away in zip(view.axes.items(), ((1, -11), (0, 8)), strict=True):
        board.arrow(np.array([view.of(zero), end]), "muted", lw=1.1, head=6)
        board.write(name, end[0] + away[0], end[1] + away[1], "muted", size=10)
    board.line(np.array([view.of(zero), view.of(foot)]), "line", 1.0)
    ways = ((zero, drawn.arriving), (drawn.arriving, foot), (foot, drawn.dx), (zero, drawn.dx))
    for role, way in zip(ROLES, ways, strict=True):
        board.arrow(np.array([view.of(place) for place in way]), role, lw=3 if role == "gradient" else 2.2)
    for corner, first, second in ((foot, np.ones(3), -drawn.along_xhat), (drawn.dx, drawn.along_xhat, -drawn.dx)):
        board.line(view.right_angle(corner, first, second), "muted", 0.9)
    places = (
        (r"$\gamma\,dy/s$", drawn.arriving, (6, 3)),
        (along_one, foot + 0.6 * drawn.along_one, (6, 0)),
        (along_xhat, drawn.dx + drawn.along_xhat / 2, (6, -9)),
        ("$dx$", drawn.dx / 2, (-6, -7)),
    )
    for role, (name, place, away) in zip(ROLES, places, strict=True):
        x, y = view.of(place) + away
        board.write(name, x, y, role, size=10, ha="left" if away[0] > 0 else "right")


def _table(board: Board, drawn: Parts, left: float, width: float) -> None:
    """The vectors as columns that add up, below them the squares of their lengths, and what they come from."""
    look = board.look
    heads = (r"$\gamma\,dy/s$", look.say("along\n1", "沿\n1"), look.say("along\n$\\hat{x}$", "沿\n$\\hat{x}$"), "$dx$")
    middles = left + width * (np.arange(4) + 0.5) / 4
    top = board.height - 12
    first, squares = top - 32, top - 98
    for x, head, role, vector in zip(middles, heads, ROLES, drawn.vectors, strict=True):
        board.write(head, x, top - 6, role, linespacing=1.1, va="center")
        for k, value in enumerate(vector):
            board.write(number(value, ".2f"), x, first - 15 * k)
        board.write(number(float(vector @ vector), ".2f"), x, squares)
        for side in (-1, 1):
            bracket = [(14.5, first + 7), (16.5, first + 7), (16.5, first - 37), (14.5, first - 37)]
            board.line(np.array([(x + side * away, y) for away, y in bracket]), "muted", 0.9)
    board.write(look.say("the squares of their lengths:", "长度的平方："), left + 2, squares + 16, "muted", ha="left")
    for x, sign in zip((middles[:-1] + middles[1:]) / 2, "−−=", strict=True):
        for y in (first - 15, squares):
            board.write(sign, x, y)
    listed = [f"$x$ = {_listed(drawn.case.x)}", f"$dy$ = {_listed(drawn.case.dy)}"]
    listed.append(rf"$\gamma$ = {drawn.case.parameters['gamma'][0]:g},  $s=\sigma$ = {drawn.s:.2f}")
    for k, line in enumerate(listed):
        board.write(line, left + 2, squares - 26 - 14 * k, ha="left")


def _listed(column: Array) -> str:
    return "(" + ", ".join(number(v, "g") for v in column[:, 0]) + ")"


ROLES = ("direct", "mean_path", "variance_path", "gradient")
