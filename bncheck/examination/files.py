"""Every target that a file or a module holds, examined; several files one after the other, or at a time."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bncheck.case import Layout
from bncheck.errors import InvalidInput, MissingPackage, TargetFailed
from bncheck.examination.conditions import Effort
from bncheck.examination.examine import ASKED, examine
from bncheck.examination.kept import Kept
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS
from bncheck.processes import WorkerDied, workers
from bncheck.results import Examination, TargetReport
from bncheck.targets.address import Address
from bncheck.targets.opening import open_target
from bncheck.targets.sandbox import MEMORY_LIMIT, TIME_LIMIT, within_bounds
from bncheck.tolerances.verdicts import Verdict

PLAIN = tuple(name for name, layer in LAYERS.items() if layer.is_plain)
"""The layers that a target may be."""


def check_target(
    text: str,
    *,
    layer: str | None = None,
    layout: Layout | None = None,
    style: str | None = None,
    dtypes: Sequence[str] = (),
    seed: int = 0,
    case: Recipe | None = None,
    cases: int = 0,
    thorough: bool = False,
    time_limit: float = TIME_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
) -> tuple[TargetReport, ...]:
    """Every target in a file or module, examined; a file that cannot be run is one report that says why.

    `cases` are drawn beside the usual ones; a `thorough` examination takes minutes instead of seconds.

    Raises
        InvalidInput: there is nothing in it that could be called.
    """
    place = Address.parse(text).place
    flags: dict[str, object] = {
        "dtype": dtypes,
        "layer": layer,
        "layout": layout,
        "style": style,
        "case": case,
        "cases": cases or None,
        "thorough": thorough or None,
        "seed": seed or None,
    }
    limits = {"time-limit": (time_limit, TIME_LIMIT), "memory-limit": (memory_limit >> 20, MEMORY_LIMIT >> 20)}
    flags |= {name: limit for name, (limit, usual) in limits.items() if limit != usual}
    effort = Effort.of(cases, thorough=thorough)
    reports: list[TargetReport] = []
    try:
        with open_target(
            text, layer=layer, layout=layout, style=style, time_limit=time_limit, memory_limit=memory_limit
        ) as targets:
            for target in targets:
                own = () if case is None else (target.adapted(case.build(target.layer)),)
                name = target.name.partition(":")[2]
                address = f"{place}:{name}" if name else text
                report = examine(target, target.layer, dtypes=dtypes, seed=seed, cases=own, effort=effort)
                reports.append(replace(report, target=address, reproduce=command([address], flags)))
            return tuple(replace(one, cut_short=any(t.sandbox.cut_short for t in targets)) for one in reports)
    except (TargetFailed, MissingPackage) as failure:
        return (replace(_crashed(text, command([text], flags), str(failure)), layer=layer or ""),)
    except KeyboardInterrupt as interruption:
        raise Interrupted(reports) from interruption


def command(addresses: Sequence[str], flags: Mapping[str, Any] = MappingProxyType({})) -> str:
    """What shows these targets again; flags that are None are left out, those of several values repeated.

    >>> command(["my file.py"], {"dtype": ("float32", "float64"), "seed": None, "quick": True})
    "python -m bncheck check 'my file.py' --dtype float32 --dtype float64 --quick"
    """
    several = {name: value if isinstance(value, tuple | list) else (value,) for name, value in flags.items()}
    given = [(name, value) for name, values in several.items() for value in values if value is not None]
    told = [f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}" for name, value in given]
    return " ".join(["python -m bncheck check", *map(shlex.quote, addresses), *told])


def _crashed(text: str, reproduce: str, detail: str) -> TargetReport:
    return TargetReport(text, "", "", Verdict.CRASHED, reproduce=reproduce, detail=detail)


class Interrupted(KeyboardInterrupt):
    """An examination that was broken off, with the reports that it had by then."""

    def __init__(self, reports: Sequence[TargetReport]) -> None:
        super().__init__()
        self.reports = tuple(reports)


def examine_all(
    targets: Sequence[str],
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    seed: int = 0,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Examination:
    """Every target of every file or module, in the order given; `options` are those of `check_target`.

    Where there are several, one in which nothing is recognised is one report among them, not the end. They are examined
    by so many `jobs`, or by an `executor`. With a folder to `resume` from, what was examined before is taken from
    there, see `bncheck.examination.kept`.

    Raises
        InvalidInput: an option or an address is none; or the only one has nothing in it that could be called.
        Interrupted: by Ctrl-C; those that it did not come to are reports that say so.
    """
    reports = examined(targets, jobs=jobs, executor=executor, seed=seed, resume=resume, progress=progress, **options)
    return Examination(seed, tuple(report for of_one in reports.values() for report in of_one))


def examined(
    targets: Sequence[str],
    *,
    shard: tuple[int, int] = (1, 1),
    jobs: int = 1,
    executor: Executor | None = None,
    seed: int = 0,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> dict[int, tuple[TargetReport, ...]]:
    """The reports on every target, by its place; of a shard k/n, those on every n-th from the k-th on.

    Raises
        InvalidInput, Interrupted: as `examine_all`.
    """
    refuse_unknown(options.get("layer"), options.get("dtypes", ()))
    within_bounds(options.get("time_limit", TIME_LIMIT), options.get("memory_limit", MEMORY_LIMIT))
    for text in targets:
        Address.parse(text)
    places = range(shard[0] - 1, len(targets), shard[1])
    asked = {**options, "seed": seed}
    alone = len(targets) == 1
    kept = Kept(resume) if resume else None
    keys = {k: key for k in places if kept and (key := Kept.key(targets[k], {**asked, "alone": alone}))}
    reports = {k: known for k, key in keys.items() if kept and (known := kept.get(key))}
    left = [k for k in places if k not in reports]
    work = partial(_checked, alone=alone, options=asked)
    try:
        with workers(jobs if executor else max(1, min(jobs, len(left))), executor) as run:
            for n, result in run(work, [targets[k] for k in left]):
                if isinstance(result, Exception) and not isinstance(result, WorkerDied):
                    raise result
                k = left[n]
                reports[k] = _killed(targets[k]) if isinstance(result, WorkerDied) else result
                if kept and k in keys:
                    kept.put(keys[k], reports[k])
                progress(len(reports), len(places))
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, Interrupted) and interruption.reports:
            reports[next(k for k in left if k not in reports)] = interruption.reports
        if not reports:
            raise
        all_of_it = (reports.get(k) or _not_come_to(targets[k]) for k in places)
        raise Interrupted([report for of_one in all_of_it for report in of_one]) from (
            interruption.__cause__ or interruption
        )
    return {k: reports[k] for k in places}


def refuse_unknown(layer: str | None, dtypes: Sequence[str]) -> None:
    """Refuses a layer that no target may be, and a dtype in which none is asked."""
    if layer is not None and layer not in PLAIN:
        raise InvalidInput.unknown("layer", layer, PLAIN)
    for name in dtypes:
        if name not in ASKED:
            raise InvalidInput.unknown("dtype", name, ASKED)


def _killed(text: str) -> tuple[TargetReport, ...]:
    """What to say where not the code's process ended, but the one that asked it."""
    detail = "The process that examined it was killed: by this code, or because memory ran out."
    return (_crashed(text, command([text]), detail),)


def _not_come_to(text: str) -> tuple[TargetReport, ...]:
    return (TargetReport(text, "", "", Verdict.INCONCLUSIVE, detail="It was not come to: interrupted."),)


def _checked(text: str, alone: bool, options: Mapping[str, Any]) -> tuple[TargetReport, ...]:
    try:
        return check_target(text, **options)
    except InvalidInput as refusal:
        if alone:
            raise
        *_, expected, next_step = refusal.fields
        words = f"Nothing to check: expected {expected}. {next_step}"
        return (TargetReport(text, "", "", Verdict.INCONCLUSIVE, reproduce=command([text]), detail=words),)
