"""TrueType in every PDF, whatever a font's own outlines are.

matplotlib embeds each font under the name of TrueType. Of fonts with cubic outlines, as Noto's Chinese ones have, that
is not true, and there are readers, MuPDF among them, that then show none of their letters. So those outlines are made
quadratic, which is what TrueType's are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps as embedding

DEVIATION = 0.0005
"""How far the quadratic curves may be from the cubic ones, in heights of letters."""


@contextmanager
def truetype() -> Iterator[None]:
    """Within it the fonts that matplotlib embeds in PDF are TrueType, if its setting pdf.fonttype is 42."""
    written: Any = embedding.font_as_file
    embedding.font_as_file = lambda font: written(quadratic(font) if "CFF " in font else font)
    try:
        yield
    finally:
        embedding.font_as_file = written


def quadratic(font: TTFont) -> TTFont:
    """A font with the same letters under the same numbers, and nothing that PDF has no use for."""
    em, names, outlines = font["head"].unitsPerEm, font.getGlyphOrder(), font.getGlyphSet()
    drawn = {}
    for name in names:
        pen = TTGlyphPen(None)
        outlines[name].draw(Cu2QuPen(pen, DEVIATION * em, reverse_direction=True))
        drawn[name] = pen.glyph()
    builder = FontBuilder(em, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupGlyf(drawn)
    builder.setupHorizontalMetrics({name: (font["hmtx"][name][0], drawn[name].xMin) for name in names})
    builder.setupHorizontalHeader(ascent=font["hhea"].ascent, descent=font["hhea"].descent)
    builder.setupPost(keepGlyphNames=False)
    return builder.font
