"""``bncheck verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import DTYPES, LAYERS, listed
from bncheck.cli.options import WHEN, Shard, at_least, at_most, one_of, processors, separated
from bncheck.cli.output import destination, progress
from bncheck.cli.reporting import VERIFICATION, report, sharded
from bncheck.processes import MOST


@app.command(short_help="Prove the gradients, and check every implementation of them.")
def verify(
    layer: Annotated[
        str | None,
        typer.Option(
            autocompletion=listed(LAYERS), help="One layer only: its name, or FILE.py:NAME for your own definition."
        ),
    ] = None,
    cases: Annotated[int, typer.Option(help="How many cases to generate for each layer.")] = 80,
    seed: Annotated[int, typer.Option(help="The same seed gives the same report, byte for byte.")] = 0,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=listed(DTYPES), help="float64, float32, float16 or bfloat16; may be given more than once."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            autocompletion=listed("frameworks:FRAMEWORKS", several=True),
            help="Frameworks to check: torch, jax, keras, onnxruntime; several by commas.",
        ),
    ] = None,
    case: Annotated[str | None, typer.Option(help="One case only, as a failing report names it.")] = None,
    format: Annotated[  # noqa: A002  # the option's name
        str, typer.Option(autocompletion=listed("cli.reporting:VERIFICATION"), help="text, json or junit.")
    ] = "text",
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="How many processes work; the report does not depend on it.", show_default="one for each CPU"
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the cases, and no real data.")] = False,
    color: Annotated[
        str,
        typer.Option(autocompletion=listed("cli.options:WHEN"), help="When to colour the text: auto, always or never."),
    ] = "auto",
    shard: Shard = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list what is covered.")] = False,
) -> None:
    """Prove the gradients, then hold every oracle, and the frameworks named, against the truth.

    Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed, 4 nothing concluded.
    """
    one_of("format", format, VERIFICATION)
    part = sharded(shard, format)
    one_of("color", color, WHEN)
    at_least({"cases": (cases, 1), "jobs": (jobs, 1), "seed": (seed, 0)})
    at_most({"jobs": (jobs, MOST)})
    with destination(output) as write:
        from bncheck.campaign import run as campaign
        from bncheck.formats import DTYPES
        from bncheck.frameworks import FRAMEWORKS, named_frameworks
        from bncheck.inputs.recipes import Recipe
        from bncheck.layers import LAYERS, find_layer

        frameworks = separated(against)
        named_frameworks(frameworks)
        for name in dtype or ():
            one_of("dtype", name, tuple(DTYPES))
        layers = tuple(LAYERS.values()) if layer is None else _with_its_jvp(find_layer(layer), case)
        if list_:
            from bncheck.report.coverage import coverage

            write(coverage(layers))
            raise typer.Exit
        asked: dict[str, Any] = {
            "cases": max(1, cases // 10) if quick else cases,
            "seed": seed,
            "dtypes": tuple(dtype) if dtype else tuple(DTYPES),
            "against": frameworks,
            "real_data": not quick,
            "only": None if case is None else Recipe.parse(case),
        }
        with progress(color) as advance:
            workers: dict[str, Any] = {"jobs": jobs or processors(), "progress": advance}
            if part is None:
                found = campaign.verify(layers, **asked, **workers)
            else:
                results, units = campaign.pieces(layers, shard=part, **asked, **workers)
        if part is None:
            report(found, format, write, output, color)
            return
        from bncheck import extras, parts
        from bncheck.targets.content import content

        packages = [package for name in frameworks for package in extras.required().get(FRAMEWORKS[name].extra, ())]
        own = content(layer) if layer and ":" in layer else {}  # a definition of one's own
        names = [one.name for one in layers]
        depends = {**asked, "only": case, "layers": names, **own, **extras.versions(*packages)}
        write(parts.Part("verify", depends, part, units, results).written())


def _with_its_jvp(layer: Any, case: str | None) -> tuple[Any, ...]:
    """A layer and its second order, unless one case is asked for."""
    from bncheck.trace import trace

    trace(layer, layer.layouts[0], layer.parameters)  # tells what is wrong with a definition before any work
    return (layer, layer.forward_mode()) if case is None and layer.is_plain else (layer,)
