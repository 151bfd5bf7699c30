"""``bncheck explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.output import destination


@app.command(short_help="Explain a bug that a diagnosis names.")
def explain(
    id: Annotated[str | None, typer.Argument(help="The bug's name, as a diagnosis gives it.")] = None,  # noqa: A002  # likewise
    output: Annotated[Path | None, typer.Option(help="A file to write to.")] = None,
) -> None:
    """Explain a bug: what it computes, how it hides, and how to fix it; without a name, list them all."""
    with destination(output) as write:
        from bncheck.report import explanations

        write(explanations.index() if id is None else explanations.page(id))
