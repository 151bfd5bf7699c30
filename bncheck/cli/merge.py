"""``bncheck merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import listed
from bncheck.cli.options import WHEN, one_of
from bncheck.cli.output import destination
from bncheck.cli.reporting import EXAMINATION, report
from bncheck.errors import BncheckError, InvalidInput


@app.command(short_help="Make one report of the parts that --shard has written.")
def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="PART …", help="What verify or check --shard K/N has written, in any order.")
    ],
    format: Annotated[  # noqa: A002  # the option's name
        str,
        typer.Option(
            autocompletion=listed("cli.reporting:EXAMINATION"), help="text, json, junit; of check also csv, github."
        ),
    ] = "text",
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    color: Annotated[
        str,
        typer.Option(autocompletion=listed("cli.options:WHEN"), help="When to colour the text: auto, always or never."),
    ] = "auto",
) -> None:
    """Make of the parts of divided work the report that the whole would have had, byte for byte, with its exit status.

    A part that is missing, there twice, damaged or of other work is refused: one line, exit status 2.
    """
    one_of("format", format, EXAMINATION)
    one_of("color", color, WHEN)
    with destination(output) as write:
        from bncheck.parts import merged

        result = merged(parts)
        try:
            report(result, format, write, output, color)
        except BncheckError:
            raise
        except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            told = f"parts that a report can be made of; {type(error).__name__}"
            raise InvalidInput("part", str(parts[0]), told, "Make them again.") from error
