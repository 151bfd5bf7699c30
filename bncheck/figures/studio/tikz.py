r"""Graphs in TikZ: the same lines, boxes and letters in the same places, for documents with fonts of their own.

What a page has drawn is read back, so that nothing is laid out twice; units are big points, 72 an inch. LaTeX needs
tikz, amsmath and amssymb, and a font for Chinese where there is any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    from bncheck.figures.studio.page import Page


def tikz(page: Page) -> str:
    """A page as a picture in TikZ."""
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    page.draw_without_rendering()
    pen = _Pen(page)
    drawn = [artist for axes in page.axes for artist in (*axes.patches, *axes.texts)] + [*page.texts]
    lines = []
    for artist in sorted(drawn, key=lambda artist: artist.get_zorder()):
        if isinstance(artist, Text) and artist.get_text().strip():
            lines.append(pen.words(artist))
        elif isinstance(artist, Patch):
            lines.append(pen.path(artist))
    paper = rf"\fill[{pen.colour(page.look.colour('paper'))}] (0,0) rectangle ({page.width:g},{page.height:g});"
    head = rf"% {page.heading}: {page.said}" + "\n" + r"% \usepackage{tikz,amsmath,amssymb}"
    begun = r"\begin{tikzpicture}[x=1bp, y=1bp, line cap=round, line join=round]"
    bounds = rf"\useasboundingbox (0,0) rectangle ({page.width:g},{page.height:g});"
    colours = [rf"\definecolor{{{name}}}{{HTML}}{{{name[1:].upper()}}}" for name in sorted(pen.colours)]
    return "\n".join([head, begun, *colours, bounds, paper, *lines, r"\end{tikzpicture}", ""])


class _Pen:
    """Writes artists in TikZ, and keeps the colours that they have."""

    def __init__(self, page: Page) -> None:
        self.unit = 72 / page.dpi
        self.colours: set[str] = set()

    def colour(self, colour: Any) -> str:
        """A colour's name in the picture."""
        from matplotlib.colors import to_hex

        name = f"c{to_hex(colour)[1:]}"
        self.colours.add(name)
        return name

    def path(self, patch: Patch) -> str:
        """An outline, filled, drawn, or both."""
        from matplotlib.colors import to_rgba_array

        options = []
        inside, outline = to_rgba_array([patch.get_facecolor(), patch.get_edgecolor()])
        if inside[3]:
            options.append(f"fill={self.colour(inside)}")
        if outline[3] and patch.get_linewidth():
            options += [f"draw={self.colour(outline)}", f"line width={patch.get_linewidth():.3g}bp"]
            options += _dashes(patch)
        return rf"\path[{', '.join(options)}] {' '.join(self._steps(patch))};"

    def _steps(self, patch: Patch) -> Iterator[str]:
        path = patch.get_transform().transform_path(patch.get_path())
        at = np.zeros(2)
        for points, code in path.iter_segments(curves=True, simplify=False):
            *handles, end = np.reshape(points, (-1, 2))
            if code == path.CURVE3:  # a quadratic curve is a cubic one whose handles are two thirds as long
                handles = [(at + 2 * handles[0]) / 3, (end + 2 * handles[0]) / 3]
            if code == path.CLOSEPOLY:
                yield "-- cycle"
            elif handles:
                yield f".. controls {' and '.join(self._place(*handle) for handle in handles)} .. {self._place(*end)}"
            else:
                yield self._place(*end) if code == path.MOVETO else f"-- {self._place(*end)}"
            at = end

    def words(self, text: Text) -> str:
        """A text, held at the middle of its height, and at its left, its middle or its right as it is aligned."""
        box = text.get_window_extent()
        anchor, x = {
            "left": ("west", box.x0), "right": ("east", box.x1)
        }.get(text.get_horizontalalignment(), ("center", (box.x0 + box.x1) / 2))  # fmt: skip
        size = float(text.get_fontsize())
        family = r"\ttfamily" if "monospace" in text.get_fontfamily() else r"\sffamily"
        font = rf"\fontsize{{{size:.3g}bp}}{{{1.2 * size:.3g}bp}}\selectfont{family}"
        options = f"anchor={anchor}, inner sep=0, text={self.colour(text.get_color())}, font={font}"
        options += rf", align={ {'west': 'left', 'east': 'right'}.get(anchor, 'center') }"
        return rf"\node[{options}] at {self._place(x, (box.y0 + box.y1) / 2)} {{{latex(text.get_text())}}};"

    def _place(self, x: float, y: float) -> str:
        return f"({x * self.unit:.2f},{y * self.unit:.2f})"


def _dashes(patch: Patch) -> list[str]:
    style: Any = patch.get_linestyle()
    if not isinstance(style, tuple):
        return [] if style in ("-", "solid") else [{"--": "dashed", ":": "dotted"}.get(style, "dash dot")]
    on_off = [f"{word} {length * patch.get_linewidth():.3g}bp" for word, length in
              zip(("on", "off") * len(style[1]), style[1], strict=False)]  # fmt: skip
    return [f"dash pattern={' '.join(on_off)}"] if on_off else []


def latex(text: str) -> str:
    r"""Words as matplotlib has them, for LaTeX: formulas stay, all else is typed as LaTeX wants it.

    >>> print(latex(r"5 % of $\hat{x}$ − 1 ✓"))
    5 \% of $\hat{x}$ $-$ 1 $\checkmark$
    """
    parts = re.split(r"(\$[^$]*\$)", text)
    return "".join(part if part.startswith("$") else _typed(part) for part in parts)


def _typed(words: str) -> str:
    return "".join(_LETTERS.get(letter, letter) for letter in words)


_LETTERS = {
    **{letter: rf"\{letter}" for letter in "%&#_{}"}, "\n": r"\\ ", "~": r"\textasciitilde{}", "^": r"\^{}",
    "\\": r"\textbackslash{}", "−": "$-$", "✓": r"$\checkmark$", "✗": r"$\times$", "×": r"$\times$", "·": r"$\cdot$",
    "→": r"$\to$", "←": r"$\leftarrow$", "≤": r"$\leq$", "≥": r"$\geq$", "…": r"\dots{}", "ε": r"$\varepsilon$",
    "γ": r"$\gamma$", "β": r"$\beta$", "μ": r"$\mu$", "σ": r"$\sigma$", "∂": r"$\partial$", "ℓ": r"$\ell$",
    "²": "$^2$", "√": r"$\surd$",
}  # fmt: skip
