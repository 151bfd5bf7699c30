"""``bncheck derive``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import LAYERS, listed
from bncheck.cli.options import STATUS, one_of, separated
from bncheck.cli.output import destination
from bncheck.errors import InvalidInput

FORMS = ("chain-rule", "direct", "closed")
FORMATS = ("unicode", "latex", "mathml", "numpy")


@app.command(short_help="Print the gradients of a layer, with their proof.")
def derive(
    layer: Annotated[
        str,
        typer.Argument(autocompletion=listed(LAYERS), help="A layer's name, or FILE.py:NAME for your own definition."),
    ],
    form: Annotated[
        str, typer.Option(autocompletion=listed("cli.derive:FORMS"), help="chain-rule, direct or closed.")
    ] = "closed",
    format: Annotated[  # noqa: A002  # likewise
        str, typer.Option(autocompletion=listed("cli.derive:FORMATS"), help="unicode, latex, mathml or numpy.")
    ] = "unicode",
    only: Annotated[str | None, typer.Option(help="Some equations: dx, or mean,var,dx.", show_default="all")] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="A whole document: beamer frames, or a web page.")
    ] = False,
    layout: Annotated[
        str | None, typer.Option(help="axes:reduced:affine, for example NCHW:NHW:C.", show_default="the layer's first")
    ] = None,
    theorems: Annotated[bool, typer.Option("--theorems", help="What else follows from the definition.")] = False,
    output: Annotated[Path | None, typer.Option(help="A file to write to.")] = None,
) -> None:
    """Print the gradients of a layer, derived from its definition, and whether they are proved.

    Lines are broken to fit: unicode the terminal, latex a slide; snippets of latex need amsmath alone. The numpy format
    is the source that bncheck runs, lowered from the closed form.
    """
    one_of("form", form, FORMS)
    one_of("format", format, FORMATS)
    shown = "theorems" if theorems else format
    if standalone and shown not in ("latex", "mathml"):
        raise InvalidInput("standalone", shown, "latex or mathml", "Add --format latex, or leave --standalone out.")
    if only is not None and shown not in ("unicode", "latex", "mathml"):
        raise InvalidInput("only", only, f"equations, and {shown} has none to choose from", "Leave --only out.")
    with destination(output) as write:
        from bncheck.case import Layout
        from bncheck.layers import find_layer
        from bncheck.oracles.symbolic import derivation, proof
        from bncheck.report import formulas

        chosen = find_layer(layer)
        on = chosen.layouts[0] if layout is None else Layout.parse(layout)
        derived = derivation.derive(chosen, on)
        proved = proof.prove(derived)
        if theorems:
            write(formulas.theorems(derived) + "\n")
        else:
            names = separated(only)
            write(formulas.formulas(derived, proved, form, format, on, only=names, standalone=standalone) + "\n")
    raise typer.Exit(STATUS[{"proved": "correct", "refuted": "wrong"}.get(proved.outcome, "inconclusive")])
