"""What mistakes do to dx: a dozen planted bugs on one small group, from the least error to the largest."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

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
    title=Words("Each bug leaves its own mark", "每个错误留下自己的痕迹"),
    reading=Words(
        "One mistake each: the right dx of four values, the wrong one, and their difference, whose length is told in"
        " percent of that of dx. Two of them no eye sees.",
        "每幅图一个错误：四个值的正确 dx、错误 dx 及两者之差，以 dx 长度的百分比表示。其中两个肉眼看不见。",
    ),
    caption=Words(
        r"$dx=d\hat{x}/s+2\,d\sigma^2(x-\mu)/m+d\mu/m$, $v=\sigma^2+\varepsilon$,"
        r" $\varepsilon=10^{-5}$; by size of error.",
        r"$dx=d\hat{x}/s+2\,d\sigma^2(x-\mu)/m+d\mu/m$，$v=\sigma^2+\varepsilon$，$\varepsilon=10^{-5}$；按误差排序。",
    ),
)

NAMES = {
    "eps-missing-in-backward": (Words("ε left out", "漏掉 ε"), r"$\varepsilon\rightarrow 0$"),
    "one-element": (Words("one element off", "一个元素有偏差"), r"$dx_1+10^{-5}$"),
    "ddof": (Words("one less counted", "少计一个"), r"$m\rightarrow m-1$"),
    "mean-path-own-sample": (Words("own value only", "只计自身"), r"$d\mu\rightarrow -d\hat{x}/s$"),
    "mean-path-missing": (Words("no mean path", "缺均值路径"), r"$d\mu\rightarrow 0$"),
    "variance-path-missing": (Words("no variance path", "缺方差路径"), r"$d\sigma^2\rightarrow 0$"),
    "statistics-constant": (Words("μ, σ² constant", "μ、σ² 当常数"), r"$d\mu,\,d\sigma^2\rightarrow 0$"),
    "path-sign": (Words("signs turned", "符号相反"), r"$+\rightarrow -$"),
    "exponent-wrong": (Words("power misread", "幂次误读"), r"$v^{-3/2}\rightarrow v^{-3}/2$"),
    "gamma-missing": (Words("no γ", "缺 γ"), r"$\gamma\rightarrow 1$"),
    "gamma-twice": (Words("γ twice", "γ 乘两次"), r"$\gamma\rightarrow\gamma^2$"),
    "returns-dy": (Words("dy returned", "直接返回 dy"), r"$dx\rightarrow dy$"),
}
"""What each bug is called, and what it writes in the place of what."""

ROWS, COLUMNS = 2, 3


class Mark(NamedTuple):
    """A bug, what it answers for dx, and its error relative to the length of dx."""

    bug: str
    dx: Array
    error: float


def frames() -> int:
    """As many as the bugs need."""
    return -(-len(NAMES) // (ROWS * COLUMNS))


@cache
def small_case(seed: int) -> Case:
    """A group of four whose dx has no small element, and in which all but two bugs do something one sees."""
    rng = np.random.default_rng(seed)
    while True:
        x, dy = rng.normal(0, 1.5, (4, 1)), rng.normal(0, 1.0, (4, 1))
        case = Case(Layout("NC", "N", "C"), x, dy, {"gamma": np.array([1.5]), "beta": np.array([0.5])})
        sizes = np.abs(dx_of(case))
        if sizes.min() > 0.3 * sizes.max():
            seen = [mark.error for mark in marks(case) if mark.error > 0.08]
            if len(seen) == len(NAMES) - 2 and max(seen) < 1:
                return case


def dx_of(case: Case) -> Array:
    """The right dx."""
    return graph.vjp(LAYERS["batch_norm"], case)["dx"][:, 0]


def marks(case: Case) -> list[Mark]:
    """All bugs on a case, the least error first."""
    from bncheck.bugs.catalogue import BUGS

    right = dx_of(case)
    wrong = {bug: BUGS[bug].vjp(case)["dx"][:, 0] for bug in NAMES}
    errors = {bug: float(np.linalg.norm(dx - right) / np.linalg.norm(right)) for bug, dx in wrong.items()}
    return [Mark(bug, wrong[bug], errors[bug]) for bug in sorted(errors, key=errors.__getitem__)]


@figure
def draw(look: Look = Look(), seed: int = 0, *, frame: int = 1) -> Page:
    """One frame: the smallest errors first."""
    from bncheck.figures.studio.page import checked_frame, new_page

    first = (checked_frame(frame, frames()) - 1) * ROWS * COLUMNS
    case = small_case(seed)
    right, shown = dx_of(case), marks(case)[first : first + ROWS * COLUMNS]
    heights = np.array([(right, mark.dx, mark.dx - right) for mark in shown])
    low, high = float(heights.min()), float(heights.max())
    with new_page(ABOUT, look, seed, f"{frame}/{frames()}") as page:
        panels = page.subplots(ROWS, COLUMNS, sharex=True, sharey=True)
        for axes, mark in zip(panels.flat, shown, strict=False):
            _bars(axes, look, right, mark)
            axes.set(xticks=[], yticks=[], ylim=(low - 0.05 * (high - low), high + 0.05 * (high - low)))
        engine: Any = page.get_layout_engine()
        engine.set(wspace=0.06)
        page.key(panels[0, 0])
    return page


def _bars(axes: Axes, look: Look, right: Array, mark: Mark) -> None:
    words, change = NAMES[mark.bug]
    said = look.say("right", "正确"), look.say("wrong", "错误"), look.say("difference", "差")
    drawn = (("correct", right), ("wrong", mark.dx), ("reference", mark.dx - right))
    for k, ((role, values), label) in enumerate(zip(drawn, said, strict=True)):
        places = np.arange(right.size) + (k - 1) * 0.27
        solid = {"facecolor": look.colour(role)} if role == "correct" else {}
        axes.bar(places, values, 0.25, label=label, **{**look.area(role, linewidth=0.8 * look.scale), **solid})
    axes.axhline(0, color=look.colour("muted"), lw=0.8 * look.scale)
    axes.set_title(change)
    above = {"xycoords": "axes fraction", "weight": "bold"}
    axes.annotate(look.say(*words), (0, 1), **look.beside(0, 21, ha="left", **above))
    axes.annotate(percent(mark.error), (1, 1), **look.beside(0, 9, ha="right", **above))
    axes.spines[:].set_visible(False)


def percent(share: float) -> str:
    """A share in percent, with four digits after the point where it is below a hundredth of one.

    >>> percent(0.43), percent(6e-6)
    ('43 %', '0.0006 %')
    """
    return f"{100 * share:.{0 if share > 1e-4 else 4}f} %"
