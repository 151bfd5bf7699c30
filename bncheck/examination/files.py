"""Every target that a file or a module holds, examined; several files one after the other, or at a time."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bncheck.case import Layout
from bncheck.errors import InvalidInput, MissingPackage, TargetFailed
from bncheck.examination.conditions import Effort
from bncheck.examination.examine import ASKED, examine
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS
from bncheck.processes import mapped
from bncheck.results import Examination, TargetReport
from bncheck.targets.address import Address
from bncheck.targets.opening import open_target
from bncheck.targets.sandbox import MEMORY_LIMIT, TIME_LIMIT
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

    options = {"layer": layer, "layout": layout, "style": style, "case": case, "cases": cases or None}
    flags = [(name, value) for name, value in (*options.items(), ("seed", seed or None)) if value is not None]
    again = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in [*(("dtype", d) for d in dtypes), *flags])
    again += " --thorough" if thorough else ""
    effort = Effort.of(cases, thorough=thorough)
    try:
        with open_target(
            text, layer=layer, layout=layout, style=style, time_limit=time_limit, memory_limit=memory_limit
        ) as targets:
            reports = []
            for target in targets:
                own = () if case is None else (target.adapted(case.build(target.layer)),)
                name = target.name.partition(":")[2]
                address = f"{place}:{name}" if name else text
                report = examine(target, target.layer, dtypes=dtypes, seed=seed, cases=own, effort=effort)
                reports.append(replace(report, target=address, reproduce=_command(address, again)))
            return tuple(reports)
    except (TargetFailed, MissingPackage) as failure:
        return (
            TargetReport(text, layer or "", "", Verdict.CRASHED, reproduce=_command(text, again), detail=str(failure)),
        )


def _command(address: str, flags: str) -> str:
    return f"python -m bncheck check {shlex.quote(address)}{flags}"


def examine_all(
    targets: Sequence[str],
    *,
    jobs: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Examination:
    """Every target of every file or module, in the order given; `options` are those of `check_target`.

    Where there are several, one in which nothing is recognised is one report among them, not the end.

    Raises
        InvalidInput: an option or an address is none; or the only one has nothing in it that could be called.
    """
    if options.get("layer") is not None and options["layer"] not in PLAIN:
        raise InvalidInput.unknown("layer", options["layer"], PLAIN)
    for name in options.get("dtypes", ()):
        if name not in ASKED:
            raise InvalidInput.unknown("dtype", name, ASKED)
    for text in targets:
        Address.parse(text)
    reports: list[TargetReport] = []
    work = partial(_checked, alone=len(targets) == 1, options={**options, "seed": seed})
    with mapped(max(1, min(jobs, len(targets)))) as in_order:
        for done, of_one in enumerate(in_order(work, targets), start=1):
            reports += of_one
            progress(done, len(targets))
    return Examination(seed, tuple(reports))


def _checked(text: str, alone: bool, options: Mapping[str, Any]) -> tuple[TargetReport, ...]:
    try:
        return check_target(text, **options)
    except InvalidInput as refusal:
        if alone:
            raise
        return (TargetReport(text, "", "", Verdict.INCONCLUSIVE, detail=str(refusal)),)
