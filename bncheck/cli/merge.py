"""``bncheck merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.options import one_of
from bncheck.cli.output import destination
from bncheck.cli.reporting import EXAMINATION, report


@app.command(short_help="Make one report of the parts that --shard has written.")
def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="PART …", help="What verify or check --shard K/N has written, in any order.")
    ],
    format: Annotated[str, typer.Option(help="text, json, junit; of check also csv, github.")] = "text",  # noqa: A002  # the option's name
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    color: Annotated[str, typer.Option(help="When to colour the text: auto, always or never.")] = "auto",
) -> None:
    """Make of the parts of divided work the report that the whole would have had, byte for byte, with its exit status.

    A part that is missing, there twice, damaged or of other work is refused: one line, exit status 2.
    """
    one_of("format", format, EXAMINATION)
    one_of("color", color, ("auto", "always", "never"))
    with destination(output) as write:
        from bncheck.parts import merged

        report(merged(parts), format, write, output, color)
