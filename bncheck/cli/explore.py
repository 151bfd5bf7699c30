"""``bncheck explore``."""

from __future__ import annotations

import re
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import LANGUAGES, LAYERS, listed
from bncheck.cli.options import one_of
from bncheck.cli.output import destination
from bncheck.errors import InvalidInput


@app.command(short_help="Write a page to play with a layer's gradients.")
def explore(
    layer: Annotated[
        str,
        typer.Argument(autocompletion=listed(LAYERS), help="A layer's name, or FILE.py:NAME for your own definition."),
    ] = "batch_norm",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="explore-LAYER.html")
    ] = None,
    lang: Annotated[str, typer.Option(autocompletion=listed(LANGUAGES), help="en or zh.")] = "en",
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write one page, complete in itself, that shows a layer's forward and backward pass on numbers one can drag.

    It steps through the reverse sweep, hides bugs to be found, and judges gradients of one's own.
    """
    one_of("lang", lang, ("en", "zh"))
    from bncheck.explorer.page import page
    from bncheck.layers import find_layer

    chosen = find_layer(layer)
    name = re.sub(r"[^\w-]", "_", chosen.name)
    written = output or _free(Path(f"explore-{name}.html"))
    with destination(written) as write:
        write(page(chosen, lang))
    typer.echo(f"{written}")
    if open_ and not webbrowser.open(written.resolve().as_uri()):
        typer.echo("bncheck: no browser was found; open the file yourself.", err=True)


def _free(path: Path) -> Path:
    """A name that nobody chose must not cost a file: only an older page of ours is replaced."""
    from bncheck.explorer.page import is_page

    if path.exists() and not is_page(path):
        raise InvalidInput("output", str(path), "a name that is free, or a page of bncheck's", "Choose with --output.")
    return path
