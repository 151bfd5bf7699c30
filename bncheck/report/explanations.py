"""Pages on bugs, as text: what `bncheck explain` prints."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator

from bncheck.bugs.mutants import MUTANTS, Mutant
from bncheck.bugs.pages import PAGES
from bncheck.errors import InvalidInput
from bncheck.layers import LAYERS, Layer

WIDTH = 80


def page(name: str) -> str:
    """The page on one bug.

    Raises
        InvalidInput: no bug of that name.

    >>> print(page("gamma-missing").splitlines()[0])
    gamma-missing: dx is not multiplied by gamma
    """
    if name not in MUTANTS:
        near = difflib.get_close_matches(name, MUTANTS, n=1)
        next_step = f"Did you mean {near[0]}?" if near else "Run bncheck explain."
        raise InvalidInput("id", name, "the name of a bug, as bncheck explain lists them", next_step)
    return "\n".join(_lines(MUTANTS[name])) + "\n"


def _lines(mutant: Mutant) -> Iterator[str]:
    told = PAGES[mutant.id]
    got, right = mutant.formulas(_layer(mutant))
    yield from _wrapped(f"{mutant.id}: {mutant.words}")
    yield from ("", "What it computes", f"    {got}", "and what it should", f"    {right}")
    for heading, text in (("How it hides", told.hides), ("How to fix it", mutant.fix)):
        yield from ("", heading, *_wrapped(text, "    "))
    yield from ("", "Wrong", textwrap.indent(told.wrong, "    "), "", "Right", textwrap.indent(told.right, "    "))
    where = ", ".join(told.seen) if told.seen else "no public issue is known"
    yield from ("", "Where it was seen", *_wrapped(where, "    "))


def _layer(mutant: Mutant) -> Layer:
    """A layer in whose words the formulas are told."""
    if "given" in mutant.needs:
        return LAYERS["batch_norm_eval"]
    return LAYERS["layer_norm" if "batch-kept" in mutant.needs else "batch_norm"]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent or "    ", break_on_hyphens=False)


def index() -> str:
    """Every bug in a line or two.

    >>> print(index().splitlines()[0])
    zero                              dx is zero
    """
    width = max(map(len, MUTANTS)) + 2
    lines = []
    for name, mutant in MUTANTS.items():
        wrapped = textwrap.wrap(mutant.words, WIDTH - width, break_on_hyphens=False)
        lines += [f"{name if k == 0 else '':<{width}}{line}" for k, line in enumerate(wrapped)]
    return "\n".join(lines) + "\n"
