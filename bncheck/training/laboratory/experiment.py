"""What an experiment is: a question, its settings, one run of one of them, and what is said of all the runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.results import Measured, Results, Setting


class About(NamedTuple):
    """The question in one line, where it comes from, and what does not follow from the answer."""

    question: str
    source: str
    limits: str


class Table(NamedTuple):
    """Rows under headings; the first column is text, the others are set flush right."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Experiment:
    """One experiment of the room, by its name.

    `settings(quick)` lists what is varied, in an order that costs nothing to read; `run(setting, seed, data, quick)`
    makes one training of one setting, on one BLAS thread, and measures plain numbers; `table(results)` and
    `sentence(results)` say what was seen, the sentence with its spread over the seeds.
    """

    name: str
    about: About
    settings: Callable[[bool], list[Setting]]
    run: Callable[[Setting, int, Data, bool], Measured]
    table: Callable[[Results], Table]
    sentence: Callable[[Results], str]
