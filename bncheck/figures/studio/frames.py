"""All frames of a sequence in one file: a PDF of many pages, a GIF that moves by itself, a page to be stepped through.

The page is one file that asks nothing of any network. What frames have in common stands in it once.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from bncheck.figures.studio.look import DPI
from bncheck.figures.studio.page import metadata

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

DURATION = 2000
"""For how long a GIF shows each frame, in milliseconds."""


def heading(pages: Sequence[Page]) -> str:
    """What a sequence is called: its title, and what the notes beside it have in common.

    >>> from bncheck.figures import find
    >>> heading([find("graph-sweep").draw(frame=frame) for frame in (1, 2)]).rpartition(" · ")[2]
    'batch norm'
    """
    first, *others = (page.heading.split(" · ") for page in pages)
    return " · ".join(part for part in first if all(part in other for other in others))


def pdf(pages: Sequence[Page]) -> bytes:
    r"""A page for each frame; LaTeX takes one of them by ``\includegraphics[page=3]``."""
    from matplotlib.backends.backend_pdf import PdfPages

    stream = io.BytesIO()
    named = metadata("pdf", heading(pages), pages[0].said)
    with pages[0].printing(), PdfPages(stream, metadata=named) as file:
        for page in pages:
            page.savefig(file, format="pdf", dpi=DPI)
    return stream.getvalue()


def gif(pages: Sequence[Page], dpi: int = DPI) -> bytes:
    """Two seconds for each frame, again and again; one palette for all, and no dots in the place of a colour."""
    from PIL import Image

    from bncheck.figures.studio.palette import indexed

    pictures = []
    for page in pages:
        with Image.open(io.BytesIO(page.encoded("png", dpi=dpi))) as png:
            pictures.append(png.convert("RGB"))
    first, *others = indexed(pictures)
    stream = io.BytesIO()
    said = f"{heading(pages)}. {pages[0].said}"
    first.save(stream, "GIF", save_all=True, append_images=others, duration=DURATION, loop=0, comment=said.encode())
    return stream.getvalue()


def html(pages: Sequence[Page], svg_text: bool = False) -> bytes:
    """A page that is stepped through by keys, buttons or fingers, and shows all frames where no script runs."""
    look = pages[0].look
    script = _part("frames.js")
    stock, frames = shared([ElementTree.fromstring(page.encoded("svg", svg_text=svg_text)) for page in pages])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    words = {
        "title": heading(pages),
        "said": pages[0].said,
        "made": str(metadata("svg", "", "")["Creator"]),
        "steps": look.say("Frames", "帧"),
        "back": look.say("Back", "上一帧"),
        "on": look.say("On", "下一帧"),
        "full": look.say("Full screen", "全屏"),
    }
    colours = {name: look.colour(name) for name in ("paper", "panel", "line", "muted")}
    colours |= {"ink": look.colour("forward"), "focus": look.colour("with")}
    size = f"{pages[0].width:g}pt {pages[0].height:g}pt"
    page = Template(_part("frames.html")).substitute(
        {name: escape(text) for name, text in words.items()},
        **colours,
        lang=look.lang,
        size=size,
        digest=f"sha256-{digest}",
        script=script,
        stock="\n".join(map(_written, stock)),
        frames="\n".join(
            f'<section aria-label="{k} / {len(pages)}">{_written(frame)}</section>'
            for k, frame in enumerate(frames, start=1)
        ),
    )
    return page.encode()


def _part(name: str) -> str:
    return (resources.files("bncheck.figures.studio") / name).read_text(encoding="utf-8")


def shared(drawings: Iterable[Element]) -> tuple[list[Element], list[Element]]:
    """What several drawings have in common, and the drawings, which refer to it.

    Outlines of letters and clips have names that tell what they are, and so are the same under the same name. Any other
    group gets a number when more than one drawing has it.
    """
    stock: dict[str, Element] = {}
    slim = [_slim(drawing, stock) for drawing in drawings]
    count = Counter(_written(group) for drawing in slim for group in _groups(drawing))
    number = {text: f"g{k}" for k, text in enumerate(text for text, times in count.items() if times > 1)}
    for drawing in slim:
        for group in _groups(drawing):
            name = number.get(_written(group))
            if name is None:
                continue
            if name not in stock:
                stock[name] = Element("g", {"id": name, **group.attrib})
                stock[name].extend(list(group))
            group.clear()
            group.tag = "use"
            group.set("href", f"#{name}")
    return [*stock.values()], slim


def _slim(drawing: Element, stock: dict[str, Element]) -> Element:
    """A drawing as HTML holds it, without names of parts; its definitions go to the stock."""
    for element in drawing.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if "}" in key]:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))
        element.text, element.tail = (element.text or "").strip() or None, None
    for parent in [*drawing.iter()]:
        for child in [*parent]:
            if child.tag == "defs":
                stock.update((part.attrib["id"], part) for part in child if part.tag != "style")
            if child.tag in ("defs", "metadata"):
                parent.remove(child)
    for group in drawing.iter("g"):
        group.attrib.pop("id", None)
    for size in ("width", "height"):
        drawing.attrib.pop(size)
    return drawing


def _groups(drawing: Element) -> list[Element]:
    """The groups that hold no others: a text, a line, a patch."""
    return [group for group in drawing.iter("g") if len(group) and group.find("g") is None]


def _written(element: Element) -> str:
    return re.sub(r"\s*\n\s*", " ", ElementTree.tostring(element, encoding="unicode"))
