"""``bncheck check``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import DTYPES, LAYERS, listed
from bncheck.cli.options import WHEN, Shard, at_least, at_most, one_of, processors
from bncheck.cli.output import destination, progress
from bncheck.cli.reporting import EXAMINATION, report, sharded
from bncheck.errors import InvalidInput
from bncheck.extras import need
from bncheck.files import opened
from bncheck.processes import MOST


@app.command(short_help="Check anybody's implementation, and tell which term is wrong.")
def check(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET …", help="FILE.py, FILE.py:NAME, FILE.ipynb, FILE.onnx, package.module:NAME."),
    ],
    layer: Annotated[
        str | None,
        typer.Option(
            autocompletion=listed(LAYERS), help="The layer that it is.", show_default="recognised by a trial call"
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="axes:reduced:affine, for example NCHW:NHW:C.", show_default="all that it takes")
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="Only targets that are recognised as something with these words.")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(autocompletion=listed(DTYPES), help="float64, float32 or float16; may be given more than once."),
    ] = None,
    case: Annotated[str | None, typer.Option(help="One case only, in the form that verify has.")] = None,
    cases: Annotated[int, typer.Option(help="So many more cases, drawn as verify draws them.")] = 0,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Ask under many more conditions: for minutes instead of seconds.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same report, byte for byte.")] = 0,
    format: Annotated[  # noqa: A002  # the option's name
        str, typer.Option(autocompletion=listed("cli.reporting:EXAMINATION"), help="text, json, csv, junit or github.")
    ] = "text",
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="A folder for drawings: of what is wrong, the graph with that marked in it.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="How many targets at a time; the report does not depend on it.", show_default="the CPUs"),
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds for one call of a target.")] = 10.0,
    memory_limit: Annotated[int, typer.Option(help="MiB for a target and its arrays; 0 is no limit.")] = 2048,
    color: Annotated[
        str,
        typer.Option(autocompletion=listed("cli.options:WHEN"), help="When to colour the text: auto, always or never."),
    ] = "auto",
    shard: Shard = None,
    resume: Annotated[
        Path | None, typer.Option(help="A folder to keep reports in; what has not changed is taken from there.")
    ] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Print a file to start from where a target is not recognised.")
    ] = False,
) -> None:
    """Check implementations in their own words: is it the layer, is its backward its own gradient, which term is wrong.

    Each runs in a process of its own, within limits; that is no jail: check only code that you would run anyway.

    Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed, 4 nothing concluded or
    nothing written yet, 5 right as far as asked, but not all that the layer has was asked.

    Interrupted (130), terminated (143) or hung up (129), it writes what it has found by then.
    """
    one_of("format", format, EXAMINATION)
    one_of("color", color, WHEN)
    at_least({"jobs": (jobs, 1), "cases": (cases, 0), "seed": (seed, 0)})
    at_most({"jobs": (jobs, MOST)})
    part = sharded(shard, format)
    if figure is not None and (part or resume):
        other = "shard" if part else "resume"
        raise InvalidInput(
            "figure", str(figure), f"none beside --{other}", "What is drawn is not kept: check it again."
        )
    interruption: BaseException | None = None
    with destination(output) as write:
        if adapter:
            from bncheck.targets.opening import adapter as template

            write("\n\n".join(template(target) for target in targets))
            return
        from bncheck.case import Layout
        from bncheck.examination.files import Interrupted, examined
        from bncheck.inputs.recipes import Recipe
        from bncheck.results import Examination
        from bncheck.targets.content import content

        if figure is not None:
            need("figures")
            opened("figure", figure)
        if resume is not None:
            opened("resume", resume)
        files = _expanded(targets)
        asked: dict[str, Any] = {
            "layer": layer,
            "layout": None if layout is None else Layout.parse(layout),
            "style": style,
            "dtypes": tuple(dtype or ()),
            "case": None if case is None else Recipe.parse(case),
            "cases": cases,
            "thorough": thorough,
            "seed": seed,
            "time_limit": time_limit,
            "memory_limit": memory_limit << 20,
        }
        try:
            with progress(color, "checking") as advance:
                workers: dict[str, Any] = {"jobs": jobs or processors(), "resume": resume, "progress": advance}
                found = examined(files, shard=part or (1, 1), **asked, **workers)
            examination = Examination(seed, tuple(report for of_one in found.values() for report in of_one))
        except Interrupted as broken_off:
            examination, interruption = Examination(seed, broken_off.reports), broken_off.__cause__
            if interruption is not None and resume is not None:
                interruption.add_note(f"What is done is kept in {resume}; the same command goes on from there.")
        if part is not None and interruption is None:
            from bncheck import parts

            made_of = {f"{text}: {name}": of for text in files for name, of in content(text).items()}
            depends = {**asked, "layout": layout, "case": case, "targets": files, **made_of}
            write(parts.Part("check", depends, part, len(files), found).written())
            return
        if figure is not None:
            from bncheck.figures.studio.finding import illustrated

            examination = illustrated(examination, figure)
            for one in examination.reports:
                if one.verdict.failed and not one.figures:
                    said = "what is wrong does not show in one call of its forward and its backward"
                    typer.echo(f"bncheck: no figure of {one.target}: {said}.", err=True)
        if interruption is None:
            report(examination, format, write, output, color)
        elif part is None:
            with suppress(typer.Exit):
                report(examination, format, write, output, color)
    if interruption is not None:
        raise interruption


def _expanded(targets: list[str]) -> list[str]:
    """The targets, with patterns that the shell left alone replaced by the files that match, in order."""
    files: list[str] = []
    for target in targets:
        pattern = Path(target)
        matching = [target]
        if any(character in pattern.name for character in "*?["):
            matching = sorted(str(path) for path in pattern.parent.glob(pattern.name))
        if not matching:
            raise InvalidInput("target", target, "a pattern that some file matches", "Is the folder the right one?")
        files += matching
    return files
