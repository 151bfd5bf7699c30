"""Batch norm as the paper's algorithm, as a graph, as a textbook's code and in numbers: row by row the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Array, Case
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number
from bncheck.layers import LAYERS

if TYPE_CHECKING:
    from bncheck.figures.studio.board import Board
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Every step, written four ways", "每一步的四种写法"),
    reading=Words(
        "The code gives a name to every node of the graph, and so to what the formulas leave nameless; backwards the"
        " same nodes are met from the end, and x − μ twice.",
        "代码为图中每个节点命名，也为公式中没有名字的量命名；反向时从末尾经过同样的节点，其中 x − μ 经过两次。",
    ),
    caption=Words(
        "A group of four; each number is what the code beside it leaves. eps = 10e-7 is 10⁻⁶.",
        "一组四个值；每个数值都是旁边代码的运行结果。eps = 10e-7 即 10⁻⁶。",
    ),
)

EPS = 10e-7


class Row(NamedTuple):
    """A step: its node, the formula, the line of code, and the variable that this line leaves."""

    node: str
    formula: str
    code: str
    name: str


class Pass(NamedTuple):
    """The rows of one pass, and the role of what flows along the edges of its graph.

    `straight` are the rows from which an edge leads to the next; the other edges go from one row to another `around`
    what lies between, to the left for -1 and to the right for 1.
    """

    rows: tuple[Row, ...]
    straight: tuple[int, ...]
    around: tuple[tuple[int, int, int], ...]
    role: str


FORWARD = Pass(
    (
        Row("$x$", "", "x", "x"),
        Row(r"$\mu$", r"$\mu=\sum x\,/\,m$", "mu = x.mean(0)", "mu"),
        Row(r"$x-\mu$", r"$x-\mu$", "xc = x - mu", "xc"),
        Row(r"$\sigma^2$", r"$\sigma^2=\sum(x-\mu)^2/\,m$", "var = (xc**2).mean(0)", "var"),
        Row("$s$", r"$s=\sqrt{\sigma^2+\varepsilon}$", "std = np.sqrt(var + eps)", "std"),
        Row(r"$\hat{x}$", r"$\hat{x}=(x-\mu)\,/\,s$", "xn = xc / std", "xn"),
        Row("$y$", r"$y=\gamma\,\hat{x}+\beta$", "y = gamma * xn + beta", "y"),
    ),
    straight=(0, 1, 2, 3, 4, 5),
    around=((0, 2, -1), (2, 5, -1)),
    role="forward",
)

BACKWARD = Pass(
    (
        Row("$y$", "", "dy", "dy"),
        Row(r"$\hat{x}$", r"$d\hat{x}=\gamma\,dy$", "dxn = gamma * dy", "dxn"),
        Row(r"$x-\mu$", r"$d\hat{x}\,/\,s$", "dxc = dxn / std", "dxc"),
        Row("$s$", r"$ds=-\sum d\hat{x}\,\hat{x}\,/\,s$", "dstd = -sum(dxn*xn/std)", "dstd"),
        Row(r"$\sigma^2$", r"$d\sigma^2=ds\,/\,2s$", "dvar = dstd / (2*std)", "dvar"),
        Row(r"$x-\mu$", r"$+\,2\,d\sigma^2(x-\mu)\,/\,m$", "dxc += 2/m * xc * dvar", "dxc"),
        Row(r"$\mu$", r"$-d\mu=\sum d(x-\mu)$", "dmu = sum(dxc)", "dmu"),
        Row("$x$", r"$dx=\cdots+d\mu\,/\,m$", "dx = dxc - dmu / m", "dx"),
    ),
    straight=(0, 1, 3, 4, 5, 6),
    around=((1, 3, 1), (2, 5, -1), (5, 7, -1)),
    role="backward",
)

PASSES = (FORWARD, BACKWARD)


def frames() -> int:
    """Forward, and backward."""
    return len(PASSES)


def group(seed: int) -> Case:
    """The group of four that is written on the blackboard, with the textbook's ε."""
    from bncheck.figures.studio.group import small_case

    return replace(small_case(LAYERS["batch_norm"], seed), eps=EPS)


def results(case: Case) -> tuple[list[Array], list[Array]]:
    """What each line of code leaves, forward and backward: the lines are run as they are shown."""
    names: dict[str, Any] = {"np": np, "x": case.x, "dy": case.dy, "m": case.count, "eps": case.eps, **case.parameters}
    left: tuple[list[Array], list[Array]] = ([], [])
    for steps, values in zip(PASSES, left, strict=True):
        for row in steps.rows:
            exec(row.code, names)
            values.append(np.array(names[row.name]))
    return left


@figure
def draw(look: Look = Look(), seed: int = 0, *, frame: int = 1) -> Page:
    """One frame: the forward pass, or the backward pass."""
    from bncheck.figures.studio.board import Board
    from bncheck.figures.studio.page import checked_frame, new_page

    k = checked_frame(frame, frames()) - 1
    case = group(seed)
    gamma, beta = (number(float(case.parameters[name][0]), "g") for name in ("gamma", "beta"))
    handed_in = rf"$\gamma={gamma},\ \beta={beta}$", look.say("from the loss", "由损失传来")
    note = look.say("forward", "前向"), look.say("backward", "反向")
    with new_page(ABOUT, look, seed, note[k]) as page:
        _rows(Board(page), PASSES[k], results(case)[k], handed_in[k])
    return page


NODE, BEND, HEAD = 30.0, 9.0, 15.0
"""Widths of a node and of an arc beside it, and the height of the heads of the columns."""

CODE = 0.602
"""The width of a letter of code, in its height."""


def _rows(board: Board, steps: Pass, values: list[Array], handed_in: str) -> None:
    """The columns, as far apart as there is room; where it is scarce, a group's numbers stand in two lines."""
    look, rows = board.look, steps.rows
    formulas = [handed_in, *(row.formula for row in rows[1:])]
    narrow = board.width < 400
    size = 8.5 if narrow else 9.0
    pitch = 3.5 * size
    widths = (
        NODE + 2 * BEND,
        max(board.measure(formula, size).width for formula in formulas),
        max(len(row.code) for row in rows) * CODE * size,
        pitch * (2 if narrow else 4),
    )
    gap = (board.width - sum(widths)) / 3
    places = np.cumsum([BEND, widths[0] - BEND + gap, widths[1] + gap, widths[2] + gap])
    heads = look.say("graph", "图"), look.say("formula", "公式"), look.say("code", "代码"), look.say("numbers", "数值")
    for x, head in zip(places, heads, strict=True):
        board.write(head, x, board.height - HEAD / 2, "muted", size, ha="left")
    step = (board.height - HEAD) / len(rows)
    levels = board.height - HEAD - step * (np.arange(len(rows)) + 0.5)
    for y in levels[::2]:
        board.box((board.width / 2, y), (board.width, step), "panel", fill="panel", zorder=0)
    colour = "value" if steps.role == "forward" else "gradient"
    for y, row, formula, value in zip(levels, rows, formulas, values, strict=True):
        board.write(formula, places[1], y, size=size, ha="left")
        board.write(row.code, places[2], y, size=size, ha="left", family="DejaVu Sans Mono")
        _numbers(board, value, (places[3], y), pitch, narrow, colour, size)
    _graph(board, steps, levels, size)


def _numbers(
    board: Board, values: Array, place: tuple[float, float], pitch: float, narrow: bool, colour: str, size: float
) -> None:
    from bncheck.figures.studio.group import column

    x, y = place
    for k, text in enumerate(column(values)):
        right, line = (k % 2, k // 2) if narrow else (k, 0)
        level = y + (0.5 - line) * 1.12 * size * (narrow and values.size > 1)
        board.write(text, x + (right + 1) * pitch - 0.4 * size, level, colour, size, ha="right")


def _graph(board: Board, steps: Pass, levels: Array, size: float) -> None:
    """The nodes under one another, with their edges."""
    middle, half = BEND + NODE / 2, 6.8
    for row, y in zip(steps.rows, levels, strict=True):
        board.box((middle, y), (NODE, 2 * half), steps.role)
        board.write(row.node, middle, y, size=size)
    for k in steps.straight:
        ends = np.array([(middle, levels[k] - half), (middle, levels[k + 1] + half)])
        board.arrow(ends, steps.role, 1.0, 4)
    for first, last, side in steps.around:
        edge, out = middle + side * NODE / 2, middle + side * (NODE / 2 + BEND * 0.8)
        top, bottom = levels[first] - half / 3, levels[last] + half / 3
        board.arrow(np.array([(edge, top), (out, top), (out, bottom), (edge, bottom)]), steps.role, 1.0, 4)
