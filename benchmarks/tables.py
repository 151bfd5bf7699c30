"""The one place where numbers become text: Markdown that also reads well in a terminal of 80 columns."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmarks.result import Requirement, Result
from bncheck.errors import InvalidInput

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def number(value: float) -> str:
    """A whole number as it is, any other with three significant digits; never an exponent."""
    if value == int(value):
        return f"{value:.0f}"
    magnitude = math.floor(math.log10(float(f"{abs(value):.2e}")))
    return f"{value:.{max(0, 2 - magnitude)}f}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as it is said: 32×64×56×56."""
    return "×".join(map(str, shape))


def markdown(result: Result) -> str:
    """One benchmark's section."""
    parts = [f"### {result.title}"]
    for table in result.tables:
        parts += [_grid(table.headings, table.rows), paragraph(table.notes)]
    if result.requirements:
        rows = [(r.what, _limit(r), number(r.measured), _outcome(r)) for r in result.requirements]
        parts.append(_grid(("required", "limit", "measured", ""), rows))
    return "\n\n".join(parts) + "\n"


def paragraph(text: str) -> str:
    """Text in lines that fit the terminal."""
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def document(path: Path) -> str:
    """The text of a file that holds both markers, in their order and once each."""
    try:
        with path.open("r+", encoding="utf-8") as file:  # to be written, too: refuse now rather than at the end
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "not text in UTF-8")
        raise InvalidInput("write", str(path), f"a text file to read and to write; {reason}") from error
    if not (text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END)):
        raise InvalidInput("write", str(path), f"a file that holds {BEGIN} and, after it, {END}", "Add both lines.")
    return text


def between_markers(text: str, replacement: str) -> str:
    """The text with what stands between its markers replaced."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n\n{replacement.strip()}\n\n{END}", text)


def _grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with its columns padded; the first is text, the others are set flush right."""
    widths = [max(3, *(len(row[k]) for row in (headings, *rows))) for k in range(len(headings))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_line(headings, widths), _line(rule, widths), *(_line(row, widths) for row in rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"


def _limit(requirement: Requirement) -> str:
    sign = "≥ " if requirement.at_least else "≤ " if requirement.limit else ""
    return f"{sign}{number(requirement.limit)}"


def _outcome(requirement: Requirement) -> str:
    if not requirement.judged:
        return "not judged"
    return "met" if requirement.met else "NOT MET"
