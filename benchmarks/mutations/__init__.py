"""An honest score of the checker: every one-token change of right code in many styles, caught or not, named or not."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.mutations.calls import FOLDER, FRESH, sources
from benchmarks.mutations.changes import NAMES_AT_A_PLACE, mutants
from benchmarks.mutations.judge import Kind
from benchmarks.mutations.reproduced import NEAR
from benchmarks.mutations.score import Outcome, Work, scored
from benchmarks.result import Effort, Requirement, Result, Table
from bncheck.processes import mapped

SAMPLED = {Effort.SMOKE: 1, Effort.USUAL: 20, Effort.FULL: None}
"""How many mutants of each source are drawn; None is all."""


def run(effort: Effort) -> Result:
    """Changes every source, and counts what is said of it; then those that were written later, with no requirement."""
    most = SAMPLED[effort]
    required = result(list(scores(FOLDER, most)), most, judged=effort is not Effort.SMOKE)
    fresh = replace(by_source(list(scores(FRESH, most)), most), notes=_FRESH_NOTES)
    return replace(required, tables=(*required.tables, fresh))


def scores(
    folder: Path = FOLDER, most: int | None = None, names: Sequence[str] = (), seed: int = 0, beginning: str = ""
) -> Iterator[Outcome]:
    """The outcome of every source of a folder as it is, and of its mutants, or of as many as are drawn.

    `names` restricts the sources, `beginning` the mutants to those whose id begins so.
    """
    everything = [work for name in names or sources(folder) for work in _work(folder, name, most, seed)]
    chosen = [work for work in everything if work.mutant is None or work.mutant.id.startswith(beginning)]
    with mapped(os.cpu_count() or 1) as in_order:
        yield from in_order(scored, chosen)


def _work(folder: Path, name: str, most: int | None, seed: int) -> list[Work]:
    everything = mutants(name, sources(folder)[name].text)
    places: Sequence[int] = range(len(everything))
    if most is not None and most < len(everything):
        places = sorted(random.Random(f"{seed} {name}").sample(places, most))
    return [Work(folder, name), *(Work(folder, name, everything[k]) for k in places)]


def result(outcomes: Sequence[Outcome], most: int | None, *, judged: bool = True) -> Result:
    """The table, and what is required of it; `most` is how many mutants of each source were drawn.

    Of too few, shares are not `judged`.
    """
    title = "What bncheck says of code that is one token off"
    return Result(title, (by_source(outcomes, most),), required(outcomes, judged=judged))


def by_source(outcomes: Sequence[Outcome], most: int | None) -> Table:
    """A row for each source, and one for all."""
    names = list(dict.fromkeys(outcome.work.source for outcome in outcomes))
    rows = [_row(name.replace("_", " "), [o for o in outcomes if o.work.source == name]) for name in names]
    extent = "All" if most is None else f"Of each source, {most} drawn by a fixed seed out of all"
    notes = _NOTES.format(extent=extent, names=NAMES_AT_A_PLACE, near=NEAR)
    return Table(_HEADINGS, (*rows, _row(f"all {len(rows)}", outcomes)), notes)


_HEADINGS = ("right code", "made", "same", "conv", "crash", "wrong", "caught", "named", "rightly")

_NOTES = (
    "{extent} changes of one token in right code of this style: an operator, a constant, an axis, a name exchanged "
    "for another of its function or object (at most {names} at a place, drawn by a fixed seed), a factor, a term, a "
    "minus, a sum or a root dropped, a sum for a mean, keepdims, the order of what is returned. Each mutant is "
    "called directly, without check, and held against Arb's truth within the computed tolerance. same: still right; "
    "conv: right but for a convention that is held against nobody, its own eps or momentum, where its running "
    "statistics start and the divisor of their variance, lengths of one in a gradient's shape; crash: it raises, or "
    "returns no y of x's shape; wrong: all others. Of the wrong, in percent: caught, check of the file fails; named, "
    "its diagnosis is not unknown, or it is told in a line what is wrong beside the formulas; rightly, the layer "
    "with just the diagnosed bugs gives the mutant's own answers, within {near:.0e} of the largest, on cases in "
    "other sizes and with another eps than any that the diagnosis was made on. What may not be accused are the "
    "sources themselves, and all mutants under same and conv."
)


_FRESH_NOTES = (
    "The same for sources that were written when the diagnosis was done, by somebody who had not read what it "
    "enumerates. Nothing is required here."
)


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    mutated = [outcome for outcome in outcomes if outcome.work.mutant]
    wrong = [outcome for outcome in mutated if outcome.wrong]
    kinds = [sum(outcome.judgement.kind is kind for outcome in mutated) for kind in Kind]
    return (
        name,
        *map(str, (len(mutated), *kinds)),
        *(share_text(wrong, holds) for holds in (_caught, _named, _rightly)),
    )


def _caught(outcome: Outcome) -> bool:
    return outcome.caught


def _named(outcome: Outcome) -> bool:
    return outcome.named


def _rightly(outcome: Outcome) -> bool:
    return outcome.rightly


def percent(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> float:
    """Of how many of these something holds."""
    return 100 * sum(map(holds, outcomes)) / max(len(outcomes), 1)


def share_text(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> str:
    """The same as text: 0 and 100 only if none and all are meant."""
    share = percent(outcomes, holds)
    if not outcomes:
        return "–"
    return f"{share:.0f}" if share in (0, 100) else f"{min(max(share, 0.1), 99.9):.1f}"


def required(outcomes: Sequence[Outcome], *, judged: bool = True) -> tuple[Requirement, ...]:
    """What the score has to be."""
    mutated = [outcome for outcome in outcomes if outcome.work.mutant]
    wrong = [outcome for outcome in mutated if outcome.wrong]
    failing = [outcome for outcome in mutated if outcome.wrong or outcome.judgement.kind is Kind.CRASHED]
    return (
        Requirement("caught, % of wrong", percent(wrong, _caught), 99.5, at_least=True, judged=judged),
        Requirement("caught, % of wrong and crash", percent(failing, _caught), 99.5, at_least=True, judged=judged),
        Requirement("named rightly, % of wrong", percent(wrong, _rightly), 90, at_least=True, judged=judged),
        Requirement("accused though right", sum(outcome.accused for outcome in outcomes), 0),
        Requirement("check itself raised", sum(outcome.broke for outcome in outcomes), 0),
    )
