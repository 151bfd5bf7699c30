"""Live objects, examined in the process that they live in: classes, instances, functions, pairs of them, modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bncheck.case import Case, Layout
from bncheck.errors import InvalidInput
from bncheck.examination.examine import examine
from bncheck.examination.files import refuse_unknown
from bncheck.inputs.recipes import Recipe
from bncheck.results import TargetReport
from bncheck.targets.calls import Target
from bncheck.targets.here import IN_THIS_PROCESS
from bncheck.targets.opening import open_live


def check_live(
    thing: Any,
    *,
    layer: str | None = None,
    layout: Layout | None = None,
    style: str | None = None,
    dtypes: Sequence[str] = (),
    seed: int = 0,
    cases: Sequence[Case | Recipe] = (),
) -> tuple[TargetReport, ...]:
    """Every target in a live object, examined as one in a file is; `cases` are asked instead of the usual ones.

    Raises
        InvalidInput: there is nothing in it that could be called, or a case that it does not take.
    """
    refuse_unknown(layer, dtypes)
    reports = []
    with open_live(thing, layer=layer, layout=layout, style=style) as targets:
        for target in targets:
            own = [_taken(target, case) for case in cases]
            report = examine(target, target.layer, dtypes=dtypes, seed=seed, cases=own)
            reports.append(replace(report, recognised_as=f"{report.recognised_as}; {IN_THIS_PROCESS}"))
    return tuple(reports)


def _taken(target: Target, case: Case | Recipe) -> Case:
    """A case as the target takes it."""
    case = case.build(target.layer) if isinstance(case, Recipe) else case
    if target.failure is None and not target.takes(case):
        takes = f"a case that {target.name} takes, on {', '.join(map(str, target.layouts))}"
        raise InvalidInput("case", f"{case.layout} {case.x.shape}", takes, "Leave it out for the usual ones.")
    return target.adapted(case)
