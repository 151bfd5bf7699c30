"""A page to be drawn on by hand: words, arrows and shapes at places that the figure computes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.look import ROLES

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page, Size

LETTERS = 9.0
"""The size of words that are read in the last row, on the smallest page as well; in points at beamer169."""


class Board:
    """The body of a page; one unit is a point at beamer169, whatever the preset, and the origin is at the lower left.

    So sizes need no scaling, and only `width` and `height` differ from one preset to another.
    """

    def __init__(self, page: Page) -> None:
        self.look, self.axes = page.look, page.plane()
        self.width, self.height = (size / page.look.scale for size in page.body[2:])
        self.axes.set(xlim=(0, self.width), ylim=(0, self.height))

    def write(self, text: str, x: float, y: float, colour: str = "forward", size: float = LETTERS, **more: Any) -> None:
        """Words with their middle at a place, in the colour of a role or of the theme."""
        more = {"ha": "center", "va": "center_baseline", **more, "zorder": 5}
        self.axes.text(x, y, text, fontsize=size * self.look.scale, color=self.look.colour(colour), **more)

    def measure(self, text: str, size: float = LETTERS) -> Size:
        """How much room words take."""
        from bncheck.figures.studio.page import text_size

        return text_size(text, size)

    def line(self, points: Array, role: str, lw: float = 1.2, **more: Any) -> None:
        """A line through points, in the colour and the dash of a role, or in a colour of the theme."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        dash = ROLES[role].dash if role in ROLES else "-"
        style = {"fc": "none", "ec": self.look.colour(role), "ls": dash, "lw": lw * self.look.scale, "zorder": 3}
        self.axes.add_patch(PathPatch(Path(points), gid="edge", capstyle="butt", **{**style, **more}))

    def arrow(self, points: Array, role: str, lw: float = 2.2, head: float = 8.0) -> None:
        """A line through points with a head at its end."""
        before, end = points[-2:]
        along = (end - before) / np.hypot(*(end - before))
        neck, across = end - head * along, 0.38 * head * np.array([-along[1], along[0]])
        self.line(np.array([*points[:-1], neck + 0.2 * head * along]), role, lw)
        self.area(np.array([end, neck + across, neck - across]), role, zorder=4, gid="edge")

    def area(self, corners: Array, colour: str, **more: Any) -> None:
        """A filled polygon, in the colour of a role or of the theme."""
        from matplotlib.patches import Polygon

        plain = {} if "facecolor" in more else {"facecolor": self.look.colour(colour), "edgecolor": "none"}
        self.axes.add_patch(Polygon(corners, **{"zorder": 1, **plain, **more}))

    def box(
        self, middle: tuple[float, float], size: tuple[float, float], edge: str, fill: str = "paper", **more: Any
    ) -> None:
        """A box with rounded corners, for words to stand in."""
        from matplotlib.patches import FancyBboxPatch

        (x, y), (width, height) = middle, size
        corner, round_corners = (x - width / 2, y - height / 2), f"round,pad=0,rounding_size={min(3.5, height / 4)}"
        style = {"ec": self.look.colour(edge), "fc": self.look.colour(fill), "lw": 0.9 * self.look.scale, "zorder": 3}
        self.axes.add_patch(FancyBboxPatch(corner, width, height, round_corners, **{**style, **more}))
