"""An honest score of the checker: every one-token change of right code in many styles, caught or not, named or not."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.mutations.calls import FOLDER, sources
from benchmarks.mutations.changes import NAMES_AT_A_PLACE, mutants
from benchmarks.mutations.judge import Kind
from benchmarks.mutations.score import NEAR, Outcome, Work, scored
from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number
from bncheck.processes import mapped

SAMPLED = {Effort.SMOKE: 3, Effort.USUAL: 120, Effort.FULL: None}
"""How many mutants of each source are drawn, or all."""


def run(effort: Effort) -> Result:
    """Changes every source, and counts what is said of it."""
    return result(list(scores(FOLDER, SAMPLED[effort])), SAMPLED[effort])


def result(outcomes: Sequence[Outcome], most: int | None) -> Result:
    """The table, and what is required of it; `most` is how many mutants of each source were drawn."""
    title = "What bncheck says of code that is one token off"
    return Result(title, (by_source(outcomes, most),), required(outcomes))


def scores(
    folder: Path = FOLDER, most: int | None = None, names: Sequence[str] = (), seed: int = 0, beginning: str = ""
) -> Iterable[Outcome]:
    """The outcome of every source of a folder as it is, and of its mutants, or of as many as are drawn.

    `names` restricts the sources, `beginning` the mutants to those whose id begins so.
    """
    work = [one for name in names or sources(folder) for one in _work(folder, name, most, seed)]
    work = [one for one in work if one.mutant is None or one.mutant.id.startswith(beginning)]
    with mapped(os.cpu_count() or 1) as in_order:
        yield from in_order(scored, work)


def _work(folder: Path, name: str, most: int | None, seed: int) -> list[Work]:
    everything = mutants(name, sources(folder)[name].text)
    chosen = everything
    if most is not None and most < len(everything):
        drawn = random.Random(f"{seed} {name}").sample(range(len(everything)), most)
        chosen = [everything[k] for k in sorted(drawn)]
    return [Work(folder, name), *(Work(folder, name, mutant) for mutant in chosen)]


def by_source(outcomes: Sequence[Outcome], most: int | None) -> Table:
    """A row for each source, and one for all."""
    names = list(dict.fromkeys(outcome.work.source for outcome in outcomes))
    rows = [_row(name.replace("_", " "), [o for o in outcomes if o.work.source == name]) for name in names]
    rows.append(_row("all", outcomes))
    drawn = "All" if most is None else f"Of each source, {most} drawn by a fixed seed out of all"
    return Table(_HEADINGS, tuple(rows), _NOTES.format(drawn=drawn, names=NAMES_AT_A_PLACE, near=NEAR))


_HEADINGS = ("source", "mutants", "equal", "conv.", "crash", "wrong", "caught", "named", "rightly", "accused")

_NOTES = (
    "{drawn} changes of one token in a source of this style: an operator, a constant, an axis, a name exchanged for "
    "another of its function (at most {names} at a place, drawn by a fixed seed), a factor, a term, a sign, a sum or a "
    "root dropped, keepdims, the order of what is returned. Each mutant is called directly and held against Arb's "
    "truth, without check. equal: still right; conv.: right but for a convention that is told and held against nobody "
    "(its default eps or momentum, the divisor of its running variance, lengths of one in a shape); crash: it raises "
    "on every call; wrong: all others. Of the wrong, in percent: caught, that check fails them; named, that a diagnosis "
    "other than unknown is made; rightly, that the layer with just these bugs gives the mutant's answers on cases that "
    "no diagnosis saw, within {near:.0e} of the largest. accused: right, equal or conv., and failed."
)


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    changed = [outcome for outcome in outcomes if outcome.work.mutant]
    kinds = [sum(o.judgement.kind is kind for o in changed) for kind in Kind]
    wrong = [outcome for outcome in changed if outcome.wrong]
    known = all(outcome.rightly is not None for outcome in wrong if outcome.named)
    rightly = percent(wrong, lambda o: bool(o.rightly)) if known else None
    shares = [percent(wrong, lambda o: o.caught), percent(wrong, lambda o: o.named), rightly]
    accused = sum(outcome.accused for outcome in outcomes)
    return (
        name,
        *map(str, (len(changed), *kinds)),
        *("–" if share is None else f"{share:.1f}" for share in shares),
        str(accused),
    )


def percent(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> float | None:
    """Of how many of these something holds; None of none."""
    return 100 * sum(map(holds, outcomes)) / len(outcomes) if outcomes else None


def required(outcomes: Sequence[Outcome]) -> tuple[Requirement, ...]:
    """What the score has to be."""
    wrong = [outcome for outcome in outcomes if outcome.wrong and outcome.work.mutant]
    answering = [*wrong, *(o for o in outcomes if o.judgement.kind is Kind.CRASHED)]
    known = any(outcome.rightly is not None for outcome in wrong)
    accused = sum(outcome.accused or (outcome.work.mutant is None and not outcome.verdict) for outcome in outcomes)
    return (
        Requirement("caught of the wrong, %", percent(wrong, lambda o: o.caught) or 0, 99.5, at_least=True),
        Requirement("caught, crashes included, %", percent(answering, lambda o: o.caught) or 0, 99.5, at_least=True),
        Requirement(
            "named rightly, %", percent(wrong, lambda o: bool(o.rightly)) or 0, 90, at_least=True, judged=known
        ),
        Requirement("right code accused", accused, 0),
        Requirement("check itself raised", sum(outcome.broke for outcome in outcomes), 0),
    )
