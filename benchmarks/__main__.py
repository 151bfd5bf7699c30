"""``python -m benchmarks [NAME ...]``: runs benchmarks, prints their tables, and judges what is required."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import sys
from pathlib import Path

import numpy as np

from benchmarks import tables
from benchmarks.result import Effort, Result
from bncheck.errors import BncheckError, InvalidInput, MissingPackage
from bncheck.files import write

NAMES = ("mutations", "check", "score", "backward", "training", "startup", "verify")


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 all requirements met, 1 some not met, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        names = options.names or list(NAMES)
        for name in names:
            if name not in NAMES:
                raise InvalidInput("NAME", name, f"one of {', '.join(NAMES)}")
        if options.write:
            tables.document(options.write)  # before minutes are spent on numbers that have no place to go
        return _run(names, options.effort, options.write)
    except BncheckError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all without any")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--smoke",
        dest="effort",
        action="store_const",
        const=Effort.SMOKE,
        default=Effort.USUAL,
        help="seconds, to prove that all runs; times are not judged",
    )
    effort.add_argument(
        "--full",
        dest="effort",
        action="store_const",
        const=Effort.FULL,
        help="minutes more: every planted bug is named at every seed, and given to slow gradcheck at the largest shape",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables between the markers of this file")
    return parser


def _run(names: list[str], effort: Effort, target: Path | None) -> int:
    flags = [] if effort is Effort.USUAL else [f"--{effort.name.lower()}"]
    chosen = [] if names == list(NAMES) else names
    command = shlex.join(["python", "-m", "benchmarks", *chosen, *flags])
    sections = [f"Made by `{command}`:\n{environment()}.\n"]
    print(sections[0])
    failed = False
    for name in names:
        try:
            result = benchmark(name, effort)
        except MissingPackage as error:
            sections.append(f"### {name}\n\n{error}\n")
        else:
            sections.append(tables.markdown(result))
            failed = failed or result.failed
        print(sections[-1], flush=True)
    if target:
        text = tables.between_markers(tables.document(target), "\n".join(sections))
        write(target, text)
    return 1 if failed else 0


def benchmark(name: str, effort: Effort) -> Result:
    """Runs one; its module is imported only now, since not all that it needs may be installed."""
    result: Result = importlib.import_module(f"benchmarks.{name}").run(effort)
    return result


def environment() -> str:
    """What the numbers depend on, in one line."""
    try:
        from benchmarks import peers

        torch, threads = f"torch {peers.VERSION}", f", torch threads: {peers.thread_count()}"
    except MissingPackage:
        torch, threads = "no torch", ""
    return f"Python {platform.python_version()}, NumPy {np.__version__}, {torch}; CPUs: {os.cpu_count()}{threads}"


if __name__ == "__main__":
    sys.exit(main())
