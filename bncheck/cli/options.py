"""What several commands ask of their options, and the exit status that a verdict has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from bncheck.errors import InvalidInput

STATUS = {
    "correct": 0,
    "wrong": 1,
    "unstable": 1,
    "crashed": 3,
    "vacuous": 4,
    "inconclusive": 4,
    "unfinished": 4,
    "incomplete": 5,
}
"""The exit status for each verdict; 2 is bad usage."""

WHEN = ("auto", "always", "never")
"""When text is coloured."""


Shard = Annotated[str | None, typer.Option(help="K/N: only part K of N, for merge; several machines share the work.")]
"""The option of a command whose work can be divided."""


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuses a value that is none of these."""
    if value not in allowed:
        raise InvalidInput.unknown(name, value, allowed)


def at_least(limits: Mapping[str, tuple[int | None, int]]) -> None:
    """Refuses whole numbers that are too small; None, for an option that was left out, passes."""
    for name, (value, least) in limits.items():
        if value is not None and value < least:
            raise InvalidInput(name, value, f"a whole number of at least {least}", "Leave it out for the default.")


def at_most(limits: Mapping[str, tuple[int | None, int]]) -> None:
    """Refuses whole numbers that are too large; None passes."""
    for name, (value, most) in limits.items():
        if value is not None and value > most:
            raise InvalidInput(name, value, f"a whole number of at most {most}", "Leave it out for the default.")


def separated(names: str | None) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return () if names is None else tuple(name.strip() for name in names.split(","))


def processors() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
