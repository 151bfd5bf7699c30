"""``bncheck grade``."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import DTYPES, LAYERS, listed
from bncheck.cli.options import STATUS, WHEN, at_least, at_most, one_of, processors
from bncheck.cli.output import coloured, destination, progress
from bncheck.errors import InvalidInput
from bncheck.files import opened, write
from bncheck.processes import MOST


@app.command(short_help="Grade a class: a folder or a zip of submissions.")
def grade(
    submissions: Annotated[
        Path, typer.Argument(metavar="SUBMISSIONS", help="A folder or a .zip: a file, folder or zip for each of them.")
    ],
    output: Annotated[Path, typer.Option(help="A folder for the page, the gradebook and the feedback.")] = Path(
        "grades"
    ),
    name: Annotated[
        str | None, typer.Option(help="What the assignment asks for: forward+backward, or a class.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            autocompletion=listed(LAYERS), help="The layer that it is.", show_default="recognised by a trial call"
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="axes:reduced:affine, for example NCHW:NHW:C.", show_default="all that it takes")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(autocompletion=listed(DTYPES), help="float64, float32 or float16; may be given more than once."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same grades, byte for byte.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="How many files at a time; no grade depends on it.", show_default="the CPUs")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds for one call.")] = 10.0,
    memory_limit: Annotated[int, typer.Option(help="MiB for a target and its arrays; 0 is no limit.")] = 2048,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="A folder to keep reports in; what has not changed is not asked again.", show_default="OUTPUT/kept"
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask every submission again, whatever is kept.")] = False,
    color: Annotated[
        str,
        typer.Option(
            autocompletion=listed("cli.options:WHEN"), help="When to colour the table: auto, always or never."
        ),
    ] = "auto",
) -> None:
    """Grade a class: each submission is checked as check does it, and one page shows them all.

    Each entry of the folder or zip is one submission. Reports are kept, so that the same command goes on where it was
    broken off, and later asks only what is new or has changed.

    Exit status: that of check on all of them; what is refused counts as nothing concluded.
    """
    one_of("color", color, WHEN)
    at_least({"jobs": (jobs, 1), "seed": (seed, 0)})
    at_most({"jobs": (jobs, MOST)})
    if fresh and resume is not None:
        raise InvalidInput("resume", str(resume), "none beside --fresh, which takes nothing from it", "Leave out one.")
    from bncheck.case import Layout

    chosen = None if layout is None else Layout.parse(layout)
    if output.is_dir() and any(output.iterdir()) and not (output / _MARK).is_file():
        constraint = "a new or empty folder, or one that grade has written"
        raise InvalidInput("output", str(output), constraint, f"{output / 'grades'}, for example.")
    if not submissions.exists() or not (submissions.is_dir() or submissions.suffix.lower() == ".zip"):
        constraint = "a folder, or a .zip, with a file, a folder or a zip for each submission"
        raise InvalidInput("submissions", str(submissions), constraint, "Is it the right path?")
    from bncheck.grading.grades import BrokenOff
    from bncheck.grading.grades import grade as graded_by
    from bncheck.grading.submissions import submissions as found_in

    store = opened("resume", resume or output / "kept")
    write(opened("output", output) / _MARK, "This folder is written by bncheck grade.\n")
    class_ = found_in(submissions, output / "unpacked", name or "", leave_out=output)
    flags: dict[str, Any] = {
        "output": output,
        "name": name,
        "layer": layer,
        "layout": layout,
        "dtype": dtype,
        "seed": seed or None,
        "time-limit": None if time_limit == 10.0 else time_limit,
        "memory-limit": None if memory_limit == 2048 else memory_limit,
        "resume": resume,
    }
    command = _command(submissions, flags)
    limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit << 20}
    asked: dict[str, Any] = {"layer": layer, "layout": chosen, "dtypes": tuple(dtype or ()), "seed": seed, **limits}
    interruption: BaseException | None = None
    with destination(None) as show:
        try:
            with progress(color, "grading") as advance:
                work: dict[str, Any] = {"jobs": jobs or processors(), "resume": None if fresh else store}
                graded = graded_by(class_, name=name or "", command=command, progress=advance, **work, **asked)
        except BrokenOff as broken_off:
            graded, interruption = broken_off.graded, broken_off.__cause__ or broken_off
            again = "the same command goes on from there" if fresh else f"go on with: {command}"
            interruption.add_note(f"What is done is written to {output}; {again}")
        place = _write(graded, output)
        from bncheck.grading.written import table

        show(table(graded, str(place), colour=coloured(color, sys.stdout)))
    if interruption is not None:
        raise interruption
    raise typer.Exit(STATUS[graded.verdict.value])


_MARK = ".bncheck-grade"


def _command(submissions: Path, flags: dict[str, Any]) -> str:
    told = ["python -m bncheck grade", shlex.quote(str(submissions))]
    for flag, value in flags.items():
        values = value if isinstance(value, list) else [value]
        told += [f"--{flag} {shlex.quote(str(one))}" for one in values if one is not None]
    return " ".join(told)


def _write(graded: Any, output: Path) -> Path:
    """Everything, the page last; feedback of an earlier run goes."""
    from bncheck.grading import page, written

    shutil.rmtree(output / "feedback", ignore_errors=True)
    (output / "feedback").mkdir()
    for one, file in zip(graded.grades, written.file_names(graded), strict=True):
        write(output / file, written.feedback(graded, one))
    write(output / "grades.csv", written.gradebook(graded))
    write(output / "results.json", written.results(graded))
    return write(output / "index.html", page.page(graded))
