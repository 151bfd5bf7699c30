"""``bncheck figures``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.options import at_least, at_most, separated
from bncheck.cli.output import print_out, progress
from bncheck.errors import InvalidInput
from bncheck.processes import MOST


@app.command(short_help="Draw normalization for a lecture.")
def figures(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME …]", help="Which figures; all, without a name.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("figures"),
    format: Annotated[str, typer.Option(help="svg, pdf, png or gv, with commas between several.")] = "svg",  # noqa: A002  # likewise
    preset: Annotated[str, typer.Option(help="beamer169, beamer43, ppt169, a4 or half.")] = "beamer169",
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
    layer: Annotated[
        str | None, typer.Option(help="For graphs: a layer's name, or FILE.py:NAME for your own definition.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="For accuracy-offset: torch, jax or keras beside; several by commas.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="For training-…: what train --output has written.", show_default="what bncheck itself keeps"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files, byte for byte.")] = 0,
    jobs: Annotated[int, typer.Option(help="How many processes draw; the files do not depend on it.")] = 1,
    list_: Annotated[bool, typer.Option("--list", help="Tell the figures and how each is read.")] = False,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="All of them as a lecture: drawings, and a README.md that shows them.")
    ] = False,
) -> None:
    """Draw figures that explain normalization; every number on them is computed as they are drawn, or by train."""
    from bncheck.figures.studio.listing import listing
    from bncheck.figures.studio.look import Look

    look = Look(preset, theme, lang)
    if list_:
        print_out(listing(look))
        return
    at_least({"jobs": (jobs, 1)})
    at_most({"jobs": (jobs, MOST)})
    if gallery:
        _alone(context, "gallery", "out", "jobs")
        from bncheck.figures.studio.gallery import hang

        with progress("auto", "drawing") as advance:
            _told(hang(out, jobs, advance), out)
        return
    from bncheck.figures.studio.rendering import render
    from bncheck.layers import find_layer

    formats = [form for form in format.split(",") if form]
    chosen = None if layer is None else find_layer(layer)
    with progress("auto", "drawing") as advance:
        written = render(
            names or (),
            out,
            formats=formats,
            look=look,
            seed=seed,
            layer=chosen,
            against=separated(against),
            results=results,
            jobs=jobs,
            progress=advance,
        )
    _told(written, out)


def _alone(context: typer.Context, option: str, *others: str) -> None:
    """Refuses what an option would ignore."""
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name not in (option, *others) and source is not None and source.name == "COMMANDLINE":
            given = ",".join(value) if isinstance(value, list | tuple) else value
            raise InvalidInput(name, given, f"no {name} beside --{option}", f"Leave out {name}, or --{option}.")


def _told(written: list[Path], folder: Path) -> None:
    typer.echo(f"{len(written)} {'file' if len(written) == 1 else 'files'} in {folder}")
