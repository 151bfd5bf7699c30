"""``bncheck train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bncheck.cli.app import app
from bncheck.cli.completion import listed
from bncheck.cli.options import at_least, at_most, processors
from bncheck.cli.output import Unwritten, destination, print_out, progress
from bncheck.processes import MOST

MOST_SEEDS = 1000


@app.command(short_help="Train networks on verified gradients: does it matter?")
def train(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=listed("training.experiments:names"),
            metavar="[EXPERIMENT …]",
            help="Which ones; all, without a name.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many trainings of each setting, with a seed each.")] = 3,
    jobs: Annotated[
        int | None,
        typer.Option(help="How many processes train; the results do not depend on it.", show_default="the CPUs"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The first of the seeds.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few steps of a few settings: only that everything works.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="A JSON file to keep the results in; interrupted, the same command goes on.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="MNIST, CIFAR or the like as .npz or idx file.", show_default="scikit-learn's digits"),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Tell the experiments, what they ask, and after whom.")] = False,
) -> None:
    """Train networks whose every gradient is verified, and tell what normalization does for them, and what not.

    With --output every training is kept as soon as it is done. A file that is there keeps its other experiments.
    """
    if list_:
        from bncheck.report.training import listing

        print_out(listing())
        return
    at_least({"seeds": (seeds, 1), "jobs": (jobs, 1), "seed": (seed, 0)})
    at_most({"seeds": (seeds, MOST_SEEDS), "jobs": (jobs, MOST)})
    with destination(output):
        from bncheck.report.training import text
        from bncheck.training import running

        try:
            with progress("auto", "training") as advance:
                found = running.train(
                    experiments or (),
                    seeds=range(seed, seed + seeds),
                    quick=quick,
                    data=data,
                    output=output,
                    jobs=jobs or processors(),
                    progress=advance,
                )
        except KeyboardInterrupt as interruption:
            if output is not None:
                interruption.add_note(f"What is done is kept in {output}.part; the same command goes on from there.")
            raise
        except OSError as error:
            if output is None:
                raise
            raise Unwritten(str(output), error) from error
        print_out(text(found))
