"""The list of figures, for the command line: nothing is drawn for it."""

from __future__ import annotations

import textwrap

from bncheck.figures import find, names
from bncheck.figures.studio.look import Look


def listing(look: Look) -> str:
    """Each figure's name, and under it the sentence by which it is read, in 80 columns."""
    lines = []
    for name in names():
        reading = look.say(*find(name).about.reading)
        width = 76 if reading.isascii() or look.lang == "en" else 38  # a Chinese character takes two columns
        lines += [name, textwrap.indent(textwrap.fill(reading, width), "    ")]
    return "\n".join(lines) + "\n"
