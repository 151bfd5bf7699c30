"""What training experiments have shown, in a table and a sentence for each, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from bncheck.training.experiments import find, names
from bncheck.training.laboratory.results import Results


def text(results: Iterable[Results]) -> str:
    """The tables and sentences of some experiments."""
    return "\n".join(map(_section, results))


def _section(results: Results) -> str:
    experiment = find(results.experiment)
    table = experiment.table(results)
    widths = [max(len(row[k]) for row in (table.headings, *table.rows)) for k in range(len(table.headings))]
    lines = [_filled(f"{experiment.name}: {experiment.about.question}"), ""]
    for row in (table.headings, *table.rows):
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    seeds = ("seed " if len(results.seeds) == 1 else "seeds ") + ", ".join(map(str, results.seeds))
    length = "; a quick run: only that everything works" if results.quick else ""
    lines += ["", _filled(experiment.sentence(results)), _filled(experiment.about.limits)]
    lines += [_filled(f"Data: {results.data}; {seeds}{length}.")]
    return "\n".join(lines) + "\n"


def listing() -> str:
    """Every experiment with its question and its source."""
    lines = []
    for name in names():
        about = find(name).about
        lines += [name, textwrap.indent(_filled(about.question, 76), "    ")]
        lines += [textwrap.indent(_filled(about.source, 76), "    ")]
    return "\n".join(lines) + "\n"


def _filled(words: str, width: int = 78) -> str:
    return textwrap.fill(words, width, break_long_words=False, break_on_hyphens=False)
