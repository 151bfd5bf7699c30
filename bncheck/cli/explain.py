"""``bncheck explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import listed
from bncheck.cli.output import destination


@app.command(short_help="Explain a bug that a diagnosis names.")
def explain(
    id: Annotated[  # noqa: A002  # likewise
        str | None,
        typer.Argument(autocompletion=listed("bugs.catalogue:BUGS"), help="The bug's name, as a diagnosis gives it."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file to write to.")] = None,
) -> None:
    """Explain a bug: what it computes, how it hides, and how to fix it; without a name, list them all."""
    with destination(output) as write:
        from bncheck.report import explanations

        write(explanations.index() if id is None else explanations.page(id))
