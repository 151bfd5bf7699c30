"""How a result is printed, by whichever command it was found, and the exit status that it has."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from bncheck.cli.options import STATUS, one_of
from bncheck.cli.output import coloured
from bncheck.errors import InvalidInput

VERIFICATION = ("text", "json", "junit")
EXAMINATION = ("text", "json", "csv", "junit", "github")
"""The forms that the report of verify, and that of check, can take."""


def report(result: Any, form: str, write: Callable[[str], Any], output: Path | None, color: str) -> None:
    """Writes the report on a campaign, or on targets, and ends with its status."""
    from bncheck.results import Report

    kind = "verification" if isinstance(result, Report) else "examination"
    one_of("format", form, VERIFICATION if kind == "verification" else EXAMINATION)
    if form == "text":
        from bncheck.report.targets import text
        from bncheck.report.text import verification

        shown: Any = verification if kind == "verification" else text
        write(shown(result, colour=color == "always" if output else coloured(color, sys.stdout)))
    else:
        write(getattr(importlib.import_module(f"bncheck.report.{form}"), kind)(result))
    raise typer.Exit(STATUS[result.verdict.value])


def sharded(shard: str | None, form: str) -> tuple[int, int] | None:
    """Which part is asked for, if any; a part has a form of its own."""
    if shard is None:
        return None
    from bncheck.parts import shard_of

    if form != "text":
        raise InvalidInput("format", form, "none beside --shard", "bncheck merge takes it.")
    return shard_of(shard)
