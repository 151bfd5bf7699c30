"""The sheet a figure is drawn on: its title above, a caption line and a stamp below, and the bytes it becomes.

A `Page` is a `matplotlib.figure.Figure` that knows its words, its look and its seed. It needs no pyplot, notebooks
display it, and the same page gives the same bytes in every process.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from bncheck.errors import InvalidInput
from bncheck.figures.studio.look import DPI, PRESETS, About, Look
from bncheck.figures.studio.truetype import truetype
from bncheck.version import __version__

MARGIN, TITLE, CAPTION, STAMP = 9.0, 12.0, 8.0, 6.0
"""White around the page, and the sizes of its words: in points at beamer169."""

_GAP = 1.6
"""Between the columns of a legend, in multiples of its letters."""

_HANDLE = 3 + 0.8 + _GAP
"""What a column of a legend needs beside its words, in multiples of its letters."""


@contextmanager
def new_page(about: About, look: Look, seed: int, note: str = "", origin: str = "") -> Iterator[Page]:
    """A page with its title and caption; what is drawn inside the block follows the look.

    `note` stands beside the title: a layer's name, or which frame this is; `origin` says in the place of the seed what
    the numbers come from, where they are not computed as the figure is drawn.

    Raises
        InvalidInput: the language is Chinese and no font here has its characters.
    """
    settings: Any = look.rc()
    with mpl.rc_context(settings):
        page = Page(about, look, seed, note, origin)
        yield page
        page.settle()


def checked_frame(frame: int, count: int) -> int:
    """A frame's number; InvalidInput unless it is one of 1…count."""
    if not 1 <= frame <= count:
        raise InvalidInput("frame", frame, f"a whole number from 1 to {count}", "Frames are counted from 1.")
    return frame


class Size(NamedTuple):
    """How wide and how high something is, in points."""

    width: float
    height: float


class Page(Figure):
    """A figure with a title, a caption and a stamp; what is drawn stands between them.

    Plots come from `subplots` as usual and are laid out by matplotlib; `plane` gives an empty area in points for
    graphs. `gid` "edge" marks artists that no label may touch.
    """

    def __init__(self, about: About, look: Look, seed: int, note: str = "", origin: str = "") -> None:
        self.about, self.look, self.seed, self.note, self.origin = about, look, seed, note, origin
        preset = PRESETS[look.preset]
        super().__init__(figsize=(preset.width, preset.height), layout="constrained")
        self.width, self.height = preset.width * 72, preset.height * 72
        settings: Any = mpl.rcParams
        self._settings: Any = dict(settings)
        self.marginal: list[Text] = []
        """Title, caption and stamp; all other words are the page's content."""
        scale = look.scale
        margin = MARGIN * scale
        heading = look.say(*about.title) + (f"  ·  {note}" if note else "")
        large = TITLE * min(1.0, (self.width - 2 * margin) / text_size(heading, TITLE * scale).width)
        self._heading = self._words(heading, margin, self.height - margin, large, "top", color=look.colour("forward"))
        stamp = f"{origin or f'seed {seed}'} · bncheck {__version__}"
        stamp_width = text_size(stamp, STAMP * scale).width
        self._words(stamp, self.width - margin, margin, STAMP, "baseline", ha="right", color=look.colour("muted"))
        self._lines = _beside(
            look.say(*about.caption), CAPTION * scale, self.width - 2 * margin, stamp_width + 24 * scale
        )
        for k, line in enumerate(reversed(self._lines)):
            y = margin + k * 1.4 * CAPTION * scale
            self._words(line, margin, y, CAPTION, "baseline", color=look.colour("muted"))
        bottom = margin + (1.4 * len(self._lines) * CAPTION + 3) * scale
        top = self.height - margin - (TITLE + 9) * scale
        self.body = margin, bottom, self.width - 2 * margin, top - bottom
        """Left, bottom, width and height, in points, of what is between title and caption."""
        self._lay_out()

    def _words(self, text: str, x: float, y: float, size: float, va: str, **more: Any) -> Text:
        words = self.text(x / self.width, y / self.height, text, fontsize=size * self.look.scale, va=va, **more)
        self.marginal.append(words)
        return words

    def _lay_out(self) -> None:
        engine: Any = self.get_layout_engine()
        engine.set(rect=self._body(), w_pad=0.02 * self.look.scale, h_pad=0.02 * self.look.scale, hspace=0.05)

    def _body(self) -> tuple[float, float, float, float]:
        left, low, width, height = self.body
        return left / self.width, low / self.height, width / self.width, height / self.height

    def key(self, *panels: Axes) -> None:
        """A legend between the title and the plots of what is labelled in `panels`, in as few rows as fit."""
        named: dict[str, Artist] = {}
        for axes in panels:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                named.setdefault(label, handle)
        labels = list(named)
        left, low, width, height = self.body
        corner = left / self.width, (low + height) / self.height
        size = float(mpl.rcParams["legend.fontsize"])
        widths = [text_size(label, size).width + _HANDLE * size for label in labels]
        for rows in range(1, len(labels) + 1):
            columns = [widths[k : k + rows] for k in range(0, len(labels), rows)]
            if sum(map(max, columns)) <= width:
                break
        placed: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": corner, "borderpad": 0, "borderaxespad": 0}
        self.legend(list(named.values()), labels, ncols=len(columns), columnspacing=_GAP, **placed).set_in_layout(False)
        self.body = left, low, width, height - 1.7 * rows * size
        self._lay_out()

    def plane(self) -> Axes:
        """Axes without axes that fill the body; one unit is one point at this preset, the origin at the lower left."""
        self.set_layout_engine("none")
        axes = self.add_axes(self._body(), xlim=(0, self.body[2]), ylim=(0, self.body[3]))
        axes.axis("off")
        return axes

    def settle(self) -> None:
        """Lays the plots out for good; the solver's last digits differ from process to process, and are cut off."""
        engine = self.get_layout_engine()
        if engine is not None:
            engine.execute(self)
            self.set_layout_engine("none")
            for axes in self.axes:
                left, low, width, height = axes.get_position(original=True).bounds
                axes.set_position((round(left, 9), round(low, 9), round(width, 9), round(height, 9)))

    def encoded(self, form: str, *, dpi: int = DPI, svg_text: bool = False) -> bytes:
        """The page as svg, pdf or png, with title, reading, caption, seed and version in its metadata, and no date.

        `dpi` counts for png alone. `svg_text` leaves words words in svg, for the fonts that its reader has; otherwise
        they are outlines, which look the same everywhere.
        """
        stream = io.BytesIO()
        made = metadata(form, self.heading, self.said)
        with self.printing(svg_text):
            self.savefig(stream, format=form, dpi=dpi if form == "png" else DPI, metadata=made)
        return self._entitled(stream.getvalue()) if form == "svg" else stream.getvalue()

    @contextmanager
    def printing(self, svg_text: bool = False) -> Iterator[None]:
        """Within it `savefig` follows this page's settings, not the user's, and fonts in a PDF are TrueType."""
        logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the dates in a font's own file
        settings = {**self._settings, "svg.fonttype": "none" if svg_text else "path"}
        with mpl.rc_context(settings), truetype():
            yield

    @property
    def heading(self) -> str:
        """The title with its note, in plain letters."""
        words = (self.look.say(*self.about.title), *self.note.split("·"))
        return " · ".join(plain(part).strip() for part in words if part)

    @property
    def said(self) -> str:
        """How the figure is read, its caption, and its seed or origin, in plain letters."""
        words = (self.look.say(*self.about.reading), self.look.say(*self.about.caption))
        return " ".join([*map(plain, words), self.origin or f"seed={self.seed}"])

    def _entitled(self, svg: bytes) -> bytes:
        """An SVG that says to those who do not see it what is drawn; ids are of matplotlib's form, and one's own."""
        title, description = (f"{letter}{sha256(self.heading.encode()).hexdigest()[:10]}" for letter in "td")
        root = f'<svg role="img" aria-labelledby="{title}" aria-describedby="{description}" xml:lang="{self.look.lang}"'
        entitled = svg.decode().replace("<svg", root, 1).replace("<title>", f'<title id="{title}">', 1)
        closed = f'</title>\n <desc id="{description}">{escape(self.said)}</desc>'
        return entitled.replace("</title>", closed, 1).encode()

    def _repr_svg_(self) -> str:
        return self.encoded("svg").decode()


def metadata(form: str, title: str, said: str) -> dict[str, str | None]:
    """What a file in a format says of itself, under the names that the format has for it."""
    made = f"bncheck {__version__}, matplotlib {mpl.__version__}"
    if form == "svg":
        return {"Title": title, "Description": said, "Creator": made, "Date": None}
    if form == "pdf":
        dates = dict.fromkeys(("Producer", "CreationDate", "ModDate"))
        return {"Title": title, "Subject": said, "Creator": made, **dates}
    return {"Title": title, "Description": said, "Software": made}


def plain(text: str) -> str:
    r"""A text with its formulas as they would be typed: for metadata, which knows no mathematics.

    >>> print(plain(r"$\partial\ell/\partial\hat{x}$, $\bar{\mu}$"))
    ∂ℓ/∂x̂, μ̄
    """
    return re.sub(r"\\(hat|bar)\{([^}]*)\}|\\[A-Za-z]+|\\,|[${}]", _typed, text)


def _typed(found: re.Match[str]) -> str:
    return plain(found[2]) + _ACCENTS[found[1]] if found[1] else _TYPED.get(found[0], "")


_ACCENTS = {"hat": "\u0302", "bar": "\u0304"}

_TYPED = {
    **{rf"\{name}": letter for name, letter in zip(("gamma", "beta", "mu", "sigma", "partial"), "γβμσ∂", strict=True)},
    r"\varepsilon": "ε", r"\ell": "ℓ", r"\geq": "≥", r"\leq": "≤", r"\cdot": "·", r"\sqrt": "√", r"\sum": "∑",
    r"\leftarrow": "←",
}  # fmt: skip


def text_size(text: str, size: float) -> Size:
    """The size of a text as it will be drawn with the settings in force, in points; lines are as high as letters."""
    family = tuple(mpl.rcParams["font.family"])
    measured = [_line_size(line, family) for line in text.split("\n")]
    height = sum(line.height for line in measured) + 0.44 * (len(measured) - 1)
    return Size(size * max(line.width for line in measured), size * height)


@lru_cache(maxsize=4096)
def _line_size(line: str, family: tuple[str, ...]) -> Size:
    """The size of one line in letters one point high: all others are multiples of it."""
    corners = TextPath((0, 0), line or " ", size=100, prop=FontProperties(family=list(family))).vertices
    if not len(corners):  # spaces
        return Size(0.32 * len(line), 0.75)
    (_, low), (right, high) = np.min(corners, axis=0), np.max(corners, axis=0)
    trailing = len(line) - len(line.rstrip())
    return Size(float(right) / 100 + 0.32 * trailing, max(float(high) / 100, 0.75) - min(float(low) / 100, 0))


def _beside(text: str, size: float, width: float, corner: float) -> list[str]:
    """A text in as few lines as leave a corner free at the right end of the last one, none longer than it need be."""
    width *= 0.95  # on a screen letters are wider than measured
    last = width - corner
    measures = np.linspace(last, width, 9).tolist()
    trials = [wrapped(text, size, measure) for measure in measures]
    return min((lines for lines in trials if text_size(lines[-1], size).width <= last), key=len, default=trials[0])


def wrapped(text: str, size: float, width: float) -> list[str]:
    """A text in as few lines as fit the width; Chinese may be broken after every character, a formula nowhere.

    >>> wrapped("a store, $a + b$, and $c + d$.", 10, 75)
    ['a store, $a + b$,', 'and $c + d$.']
    """
    lines = [""]
    for part in re.findall(r"\$[^$]*\$[^\s$\u2e80-\uffef]*\s?|[\u2e80-\uffef]|[^\s\u2e80-\uffef$]+\s?|\s", text):
        full = text_size((lines[-1] + part).rstrip(), size).width > width
        if lines[-1] and full and part not in "。，；：）":
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]
