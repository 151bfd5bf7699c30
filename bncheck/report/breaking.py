"""Breaks a right side that is too wide into lines: between its terms, and only then within them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_WHOLE = r"m(?:frac|sqrt|sup|sub|subsup|over)\b"
_TOKEN = re.compile(
    r"(?P<sum>Σ|\\sum|<munderover>.*?</munderover>)"
    rf"|(?P<open>[({{]|<{_WHOLE})|(?P<close>[)}}]|</{_WHOLE})"
    r"|(?P<sign> [+−-] |<mo form=.infix.>[+−]</mo>)|(?P<times> (?:·|\\cdot) |<mo>·</mo>)"
)
"""What decides where a line may begin, in unicode, LaTeX and MathML."""


class Level(NamedTuple):
    """How deep in brackets and sums a line would begin, and whether with a · rather than a + or −."""

    depth: int
    times: bool


def broken(text: str, fits: Callable[[str], bool], *, fill: bool = False) -> list[str]:
    """The lines of a right side, each of which fits, as far as it can be broken.

    The terms of a sum come apart first: one a line, or with `fill` as many as fit. A single term is broken before its
    · or between the terms of its brackets, at the outermost place that leaves only parts that fit. Brackets of which
    two would fit on a line stay whole if they can, what LaTeX and MathML set in a fraction, a root or an index always.

    >>> broken("a · (b + c) − d · (e + f)", lambda line: len(line) < 14)
    ['a · (b + c)', '− d · (e + f)']
    >>> broken("a · (b + c − d)", lambda line: len(line) < 11)
    ['a · (b', '+ c', '− d)']
    """
    if fits(text):
        return [text]
    places = _places(text, fits) or _places(text, lambda brackets: False)
    ways = [
        (level, _parts(text, [position for position, at in places if at == level]))
        for level in sorted({level for _, level in places})
    ]
    if not ways:
        return [text]
    level, parts = ways[0]
    if level.times:
        level, parts = min(ways, key=lambda way: 0 if all(map(fits, way[1])) else 1 + way[0].times)
    lines = _filled(parts, fits) if fill or level.times else parts
    return [line for part in lines for line in broken(part, fits, fill=fill)]


def _places(text: str, fits: Callable[[str], bool]) -> list[tuple[int, Level]]:
    """Where a line may begin; a sum reaches to the end of its product."""
    places: list[tuple[int, Level]] = []
    opened: list[tuple[str, int, int]] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        kind = str(token.lastgroup)
        while kind in ("sign", "close") and opened and opened[-1][0] == "sum":
            opened.pop()
        if kind in ("open", "sum"):
            opened.append((kind, token.start(), len(places)))
        elif kind == "close":
            depth -= not opened
            if opened:
                _, start, before = opened.pop()
                if token[0] != ")" or fits(2 * text[start : token.end()]):
                    del places[before:]
        elif token.start() > 0:
            places.append((token.start(), Level(depth + len(opened), kind == "times")))
    return places


def _parts(text: str, positions: list[int]) -> list[str]:
    return [text[start:end].strip() for start, end in zip([0, *positions], [*positions, len(text)], strict=True)]


def _filled(parts: list[str], fits: Callable[[str], bool]) -> list[str]:
    """As many parts on each line as fit."""
    lines = parts[:1]
    for part in parts[1:]:
        joined = f"{lines[-1]} {part}"
        if fits(joined):
            lines[-1] = joined
        else:
            lines.append(part)
    return lines
