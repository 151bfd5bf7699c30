"""``python -m benchmarks.mutations``: lists the mutants that a table only counts, with their lines before and after."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import mutations, tables
from benchmarks.mutations.calls import FOLDER, sources
from benchmarks.mutations.judge import Kind
from benchmarks.mutations.score import Outcome

LISTS: Mapping[str, Callable[[Outcome], bool]] = {
    "missed": lambda o: o.judgement.kind in (Kind.WRONG, Kind.CRASHED) and not o.caught,
    "broke": lambda o: o.broke,
    "accused": lambda o: o.accused,
    "unnamed": lambda o: o.wrong and o.caught and not o.named,
    "misnamed": lambda o: o.wrong and o.named and not o.rightly,
    "conventions": lambda o: o.judgement.kind is Kind.CONVENTION,
    "equivalent": lambda o: o.judgement.kind is Kind.EQUIVALENT and o.work.mutant is not None,
    "crashed": lambda o: o.judgement.kind is Kind.CRASHED,
    "all": lambda o: True,
}


def main(arguments: list[str] | None = None) -> int:
    """Prints what belongs to the lists that were asked for as it comes, and the table of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SOURCE", help="all without any")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="another folder of sources, with its calls.toml")
    parser.add_argument("--most", type=int, metavar="N", help="how many mutants of each source are drawn; else all")
    parser.add_argument("--seed", type=int, default=0, help="which are drawn")
    parser.add_argument("--id", default="", help="only mutants whose id begins so")
    for name in LISTS:
        parser.add_argument(f"--list-{name}", dest="lists", action="append_const", const=name)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in sources(options.folder)]
    if unknown:
        parser.error(f"SOURCE={unknown[0]}, expected one of {', '.join(sources(options.folder))}")
    names = options.names or ([options.id.partition("/")[0]] if options.id else [])
    outcomes = []
    for outcome in mutations.scores(options.folder, options.most, names, options.seed, options.id):
        outcomes.append(outcome)
        belongs = [name for name in options.lists or [] if LISTS[name](outcome)]
        if belongs:
            print(f"{', '.join(belongs)}: {outcome}\n", flush=True)
        print(f"\r{len(outcomes)} {outcome.work.source:12}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(tables.markdown(mutations.result(outcomes, options.most)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
