"""What can be measured of a figure's craft: nothing clipped, overlapping, struck through, or too small to read."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bncheck.case import Array
from bncheck.figures.studio.look import PRESETS
from bncheck.figures.studio.page import Page

SLACK = 1.0
"""Pixels at 100 dpi by which boxes, which are higher than their letters, may touch."""


SMALLEST = 5.5
"""The least size of letters on a page as wide as beamer169; smaller pages are looked at from nearer."""


def flaws(figure: Figure) -> list[str]:
    """What is wrong with a figure, a line each: words outside the page, on one another, crossed by a line, or tiny.

    Lines are those of plots and the artists whose gid is "edge"; a text on a box of its own may stand on a line.
    """
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    undrawn = _undrawn(figure)
    texts: Any = figure.findobj(lambda artist: isinstance(artist, Text) and artist not in undrawn)
    boxes = [(text, _box(text, renderer)) for text in texts if _shown(text)]
    page = Bbox.from_bounds(0, 0, *canvas.get_width_height())
    found = [f"{_name(text)} leaves the page" for text, box in boxes if not _inside(box, page)]
    found += [f"{_name(text)} shows a formula's source" for text, _ in boxes if _unread(text.get_text())]
    least = SMALLEST * figure.get_figwidth() / PRESETS["beamer169"].width
    found += [f"{_name(text)} is too small to read" for text, _ in boxes if text.get_fontsize() < least]
    for (text, box), (other, another) in combinations(boxes, 2):
        if _smaller(box).overlaps(_smaller(another)):
            found.append(f"{_name(text)} overlaps {_name(other)}")
    drawn = figure.findobj(_is_line)
    found += [f"a line leaves its axes at {artist.get_clip_box()}" for artist in drawn if _is_cut(artist)]
    lines = [line for artist in drawn for line in _polylines(artist)]
    for text, box in boxes:
        patch = text.get_bbox_patch()
        if patch is None and any(_crosses(line, _smaller(box)) for line in lines):
            found.append(f"{_name(text)} is crossed by a line")
    return found


def small_print(page: Page) -> list[str]:
    """The words of a page's content that its preset's readers cannot read, a line each; title and foot are not content.

    A size is that of the text as a whole: an exponent is smaller, as in print.
    """
    undrawn = _undrawn(page)
    texts: Any = page.findobj(lambda artist: isinstance(artist, Text) and artist not in undrawn)
    least = PRESETS[page.look.preset].least
    return [
        f"{_name(text)} is {text.get_fontsize():.1f} pt high, which is less than {least:.1f}"
        for text in texts
        if _shown(text) and text not in page.marginal and text.get_fontsize() < least
    ]


def _unread(words: str) -> bool:
    """Whether dollar signs do not pair up, so that a formula is shown as it was typed."""
    return any("\\" in line and line.count("$") % 2 == 1 for line in words.split("\n"))


def _shown(text: Text) -> bool:
    owner = text.axes
    return bool(text.get_text().strip()) and text.get_visible() and (owner is None or owner.get_visible())


def _undrawn(figure: Figure) -> set[Artist]:
    """The labels of ticks outside their axis, and everything that belongs to an axis switched off."""
    kept: set[Artist] = set()
    every: set[Artist] = set()
    for axes in figure.axes:
        axises: Any = (axes.xaxis, axes.yaxis)
        for axis in axises:
            every.update(axis.findobj(Text))
            if axes.axison and axes.get_visible() and axis.get_visible():
                kept.update([axis.label, axis.offsetText])
                kept.update(label for tick in axis._update_ticks() for label in (tick.label1, tick.label2))
    return every - kept


def _box(text: Text, renderer: object) -> Bbox:
    return Text.get_window_extent(text, renderer)  # type: ignore[arg-type]  # of an annotation: without its arrow


def _name(text: Text) -> str:
    return repr(text.get_text())


def _inside(box: Bbox, page: Bbox) -> bool:
    inner, outer = box.get_points(), page.get_points()
    return bool(np.all(inner[0] >= outer[0] - SLACK) and np.all(inner[1] <= outer[1] + SLACK))


def _smaller(box: Bbox) -> Bbox:
    margin_x, margin_y = min(SLACK, box.width / 2), min(SLACK, box.height / 2)
    return Bbox.from_extents(box.x0 + margin_x, box.y0 + margin_y, box.x1 - margin_x, box.y1 - margin_y)


def _is_line(artist: Artist) -> bool:
    if not artist.get_visible():
        return False
    if isinstance(artist, Line2D):
        plotted = artist.axes is not None and artist in artist.axes.lines
        return plotted and artist.get_linestyle() not in ("none", "None", "")
    return isinstance(artist, Patch) and artist.get_gid() == "edge"


def _is_cut(artist: Artist) -> bool:
    """Whether a patch, with the width of its pen, goes beyond the axes that clip it."""
    room = artist.get_clip_box()
    if not isinstance(artist, Patch) or room is None:
        return False
    points = np.concatenate([*_polylines(artist), np.empty((0, 2))])
    pen = artist.get_linewidth() / 2 * (100 / 72)
    return not _inside(Bbox([points.min(axis=0) - pen, points.max(axis=0) + pen]), Bbox(room.get_points()))


def _polylines(artist: Artist) -> list[Array]:
    assert isinstance(artist, (Line2D, Patch))
    path = artist.get_transform().transform_path(artist.get_path())
    lines = [np.asarray(line) for line in path.to_polygons(closed_only=False)]
    return [line for line in lines if len(line) > 1]


def _crosses(line: Array, box: Bbox) -> bool:
    return bool(Path(line).intersects_bbox(box, filled=False))
