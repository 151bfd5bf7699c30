"""``bncheck figures``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import LANGUAGES, LAYERS, listed
from bncheck.cli.options import at_least, at_most, separated
from bncheck.cli.output import print_out, progress
from bncheck.errors import InvalidInput
from bncheck.extras import need
from bncheck.figures.studio.look import DPI, Look
from bncheck.processes import MOST

GALLERY = Path("figures")
"""Where the gallery is hung unless another folder is named."""


@app.command(short_help="Draw normalization for a lecture.")
def figures(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=listed("figures:names"), metavar="[NAME …]", help="Which figures; all, without a name."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write to.", show_default="bncheck-figures; of a gallery, figures"),
    ] = None,
    format: Annotated[  # noqa: A002  # likewise
        str,
        typer.Option(
            autocompletion=listed("figures.studio.rendering:FORMATS", several=True),
            help="svg, pdf or png; tikz or gv of graphs; gif or html of sequences, whose pdf has all frames, too;"
            " with commas between several.",
        ),
    ] = "svg",
    dpi: Annotated[int, typer.Option(help="Pixels per inch of png and gif.")] = DPI,
    svg_text: Annotated[
        bool,
        typer.Option(
            "--svg-text", help="In svg and html, leave words words, to be searched and copied, if the fonts are there."
        ),
    ] = False,
    preset: Annotated[
        str,
        typer.Option(
            autocompletion=listed("figures.studio.look:PRESETS"), help="beamer169, beamer43, ppt169, a4 or half."
        ),
    ] = "beamer169",
    theme: Annotated[
        str, typer.Option(autocompletion=listed("figures.studio.look:THEMES"), help="light or dark.")
    ] = "light",
    lang: Annotated[str, typer.Option(autocompletion=listed(LANGUAGES), help="en or zh.")] = "en",
    layer: Annotated[
        str | None,
        typer.Option(
            autocompletion=listed(LAYERS), help="For graphs: a layer's name, or FILE.py:NAME for your own definition."
        ),
    ] = None,
    x: Annotated[
        str | None, typer.Option(help="For graphs with numbers: your own, one group of 2 to 8, as 1,2,3,4.")
    ] = None,
    dy: Annotated[str | None, typer.Option(help="As many, of the gradient that arrives.")] = None,
    gamma: Annotated[str | None, typer.Option(help="A number, or one for each element where it varies.")] = None,
    beta: Annotated[str | None, typer.Option(help="The same.")] = None,
    eps: Annotated[float | None, typer.Option(help="The number inside the root.")] = None,
    case: Annotated[
        str | None, typer.Option(help="In their place a case, in the form that verify has; its first group is drawn.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            autocompletion=listed("frameworks:FRAMEWORKS", several=True),
            help="For accuracy-offset: torch, jax or keras beside; several by commas.",
        ),
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

    need("figures")
    look = Look(preset, theme, lang)
    if list_:
        print_out(listing(look))
        return
    at_least({"jobs": (jobs, 1)})
    at_most({"jobs": (jobs, MOST)})
    if gallery:
        _alone(context, "gallery", "out", "jobs")
        from bncheck.explorer.page import page
        from bncheck.figures.studio.gallery import EXPLORER, hang
        from bncheck.files import write
        from bncheck.layers import LAYERS

        with progress("auto", "drawing") as advance:
            hung = hang(out or GALLERY, jobs, advance)
        hung.append(write((out or GALLERY) / EXPLORER, page(LAYERS["batch_norm"]).encode()))
        _told(hung, out or GALLERY)
        return
    from bncheck.figures.studio.group import own_case
    from bncheck.figures.studio.rendering import OUT, render
    from bncheck.inputs.recipes import Recipe
    from bncheck.layers import LAYERS, find_layer

    formats = [form for form in format.split(",") if form]
    chosen = None if layer is None else find_layer(layer)
    typed = {"x": separated(x), "dy": separated(dy), "gamma": separated(gamma), "beta": separated(beta), "eps": eps}
    numbers: dict[str, Any] = {name: value for name, value in typed.items() if value not in (None, ())}
    numbers |= {} if case is None else {"case": Recipe.parse(case)}
    with progress("auto", "drawing") as advance:
        written = render(
            names or (),
            out or OUT,
            formats=formats,
            dpi=dpi,
            svg_text=svg_text,
            look=look,
            seed=seed,
            layer=chosen,
            case=own_case(chosen or LAYERS["batch_norm"], seed, **numbers) if numbers else None,
            against=separated(against),
            results=results,
            jobs=jobs,
            progress=advance,
        )
    _told(written, out or OUT)


def _alone(context: typer.Context, option: str, *others: str) -> None:
    """Refuses what an option would ignore."""
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name not in (option, *others) and source is not None and source.name == "COMMANDLINE":
            given = ",".join(value) if isinstance(value, list | tuple) else value
            raise InvalidInput(name, given, f"no {name} beside --{option}", f"Leave out {name}, or --{option}.")


def _told(written: list[Path], folder: Path) -> None:
    typer.echo(f"{len(written)} {'file' if len(written) == 1 else 'files'} in {folder}")
