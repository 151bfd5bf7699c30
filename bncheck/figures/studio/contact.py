"""A contact sheet: every drawing small, with its name, in rows."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bncheck.figures.studio.look import PRESETS, Look

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

COLUMNS, WIDTH, HEIGHT, GAP, NAME = 6, 288, 162, 12, 24
"""Pictures in a row, the size of one, the room between them, and the height of a name, in pixels."""

FINENESS = 3
"""How many pixels, across and down, become one of a picture."""

TITLE = 24
"""The letters of a chapter's title, in pixels."""


def thumbnail(page: Page) -> bytes:
    """A page in the size of a contact sheet's pictures, as png."""
    from PIL import Image

    large = page.encoded("png", dpi=round(FINENESS * WIDTH / PRESETS["beamer169"].width))
    small = io.BytesIO()
    with Image.open(io.BytesIO(large)) as picture:
        picture.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(small, "PNG")
    return small.getvalue()


def corner(k: int) -> tuple[int, int]:
    """Where the upper left corner of a sheet's picture is, from its own upper left, in pixels.

    >>> corner(0), corner(7)
    ((12, 12), (312, 210))
    """
    row, column = divmod(k, COLUMNS)
    return GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + NAME + GAP)


def contact_sheet(tiles: Sequence[tuple[str, bytes | None]]) -> bytes:
    """The sheet, as png: names with their pictures, or without one where a chapter of that name begins."""
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import Image, ImageDraw, ImageFont

    from bncheck.figures.studio.palette import indexed

    look = Look()
    size = corner(COLUMNS - 1)[0] + WIDTH + GAP, corner(len(tiles) - 1)[1] + HEIGHT + NAME + GAP
    sheet = Image.new("RGB", size, look.colour("panel"))
    pen = ImageDraw.Draw(sheet)
    font: Any = findfont(FontProperties(family="DejaVu Sans"))
    letters, capitals = (ImageFont.truetype(font, size) for size in (0.6 * NAME, TITLE))
    for k, (name, picture) in enumerate(tiles):
        x, y = corner(k)
        if picture is None:
            title = "\n".join(textwrap.wrap(name, round(1.5 * WIDTH / TITLE)))
            pen.text((x, y + HEIGHT / 2), title, look.colour("forward"), capitals, "lm", spacing=0.3 * TITLE)
        else:
            with Image.open(io.BytesIO(picture)) as small:
                sheet.paste(small, (x, y))
            pen.text((x, y + HEIGHT + NAME / 2), name, look.colour("forward"), letters, "lm")
    stream = io.BytesIO()
    indexed([sheet])[0].save(stream, "PNG", optimize=True)
    return stream.getvalue()
