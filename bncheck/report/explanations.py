"""Pages on bugs, as text: what `bncheck explain` prints."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug
from bncheck.errors import InvalidInput
from bncheck.layers import LAYERS

WIDTH = 80


def page(name: str) -> str:
    """The page on one bug.

    Raises
        InvalidInput: no bug of that name.

    >>> print(page("gamma-missing").splitlines()[0])
    gamma-missing: dx is not multiplied by gamma
    """
    if name not in BUGS:
        near = difflib.get_close_matches(name, BUGS, n=1)
        next_step = f"Did you mean {near[0]}?" if near else "Run bncheck explain."
        raise InvalidInput("id", name, "the name of a bug, as bncheck explain lists them", next_step)
    return "\n".join(_lines(BUGS[name])) + "\n"


def _lines(bug: Bug) -> Iterator[str]:
    yield from _wrapped(f"{bug.id}: {bug.words}")
    computed, right = _formulas(bug)
    if computed:
        yield from ("", "What it computes", f"    {computed}", "and what it should", f"    {right}")
    for heading, text in (("How it hides", bug.hides), ("How to fix it", bug.fix)):
        yield from ("", heading, *_wrapped(text, "    "))
    yield from ("", "Wrong", textwrap.indent(bug.wrong, "    "), "", "Right", textwrap.indent(bug.right, "    "))
    where = ", ".join(bug.seen) if bug.seen else "no public issue is known"
    yield from ("", "Where it was seen", *_wrapped(where, "    "))


def _formulas(bug: Bug) -> tuple[str, str]:
    """The formulas of the first layer that has room for the bug, in the first layout in which it has."""
    several = (bug.formulas(layer, layout) for layer in LAYERS.values() for layout in layer.layouts)
    return next((pair for pair in several if pair[0]), ("", ""))


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent or "    ", break_on_hyphens=False)


def index() -> str:
    """Every bug in a line or two.

    >>> print(index().splitlines()[0])
    zero                              dx is zero
    """
    width = max(map(len, BUGS)) + 2
    lines = []
    for name, bug in BUGS.items():
        wrapped = textwrap.wrap(bug.words, WIDTH - width, break_on_hyphens=False)
        lines += [f"{name if k == 0 else '':<{width}}{line}" for k, line in enumerate(wrapped)]
    return "\n".join(lines) + "\n"
