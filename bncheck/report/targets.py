"""Reports on targets for people: one screen for one, a row each for several, within 80 columns."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from bncheck.bugs.diagnose import UNKNOWN, Diagnosis
from bncheck.report.text import COLOURS, WIDTH, columns, plain, printed
from bncheck.results import Check, Examination, Finding, TargetReport
from bncheck.tolerances.verdicts import Verdict

_HEADING = 14
_ROOM = WIDTH - 2 - _HEADING
SCREEN = 40
"""The most lines of a report on one target."""

_GLOSSARY = "dx is ∂loss/∂x; m values per mean"

_MEANING = {
    Verdict.UNSTABLE: "the formula is right, its rounding is not: the error shrinks as the precision grows",
    Verdict.INCOMPLETE: "what was asked is right, but not all that the layer has was asked",
    Verdict.INCONCLUSIVE: "nothing could be concluded",
    Verdict.UNFINISHED: "it is not written yet",
    Verdict.VACUOUS: "no bug could have shown on these cases",
}


def text(found: Examination, *, colour: bool = False) -> str:
    """One screen for one target; for several a row each, and a summary."""
    if len(found.reports) == 1:
        return one(found.reports[0], colour=colour)
    return printed(_table(found), colour=colour)


def one(report: TargetReport, *, colour: bool = False) -> str:
    """One target: what it is, what is wrong with it, how to fix that, and how to see it again."""
    return printed(_screen(report), colour=colour)


def check(check: Check) -> str:
    """One case: the verdict, and a line for each returned array.

    >>> from bncheck.results import Check
    >>> print(check(Check({})))
    vacuous: nothing was returned
    <BLANKLINE>
    """
    words = f": {_MEANING[check.verdict]}" if check.verdict in _MEANING else ""
    words = words if check.gradients else ": nothing was returned"
    lines = [Text.assemble((check.verdict.value, COLOURS[check.verdict]), words)]
    lines += [*_entry("unseen", ", ".join(check.unseen))] if check.unseen else []
    return printed([*lines, *(_gradients(check.gradients) if check.gradients else ())], colour=False)


def finding(report: TargetReport) -> str:
    """What is amiss in a few words: the bugs by their names, or why there is no answer."""
    name = report.target.rpartition("/")[2]
    return ", ".join(bug.id for bug in report.diagnosis) or plain(report.detail).removeprefix(f"{name} ")


def _screen(report: TargetReport) -> Iterator[Text]:
    """At most `SCREEN` lines: bugs that do not fit are named only."""
    above, below = [*_head(report)], [*_foot(report)]
    shown: list[Text] = []
    named: list[str] = []
    several = report.diagnosis
    signs = ", ".join(dict.fromkeys(sign for bug in several for sign in bug.where))
    written = any(bug.formula_got or bug.formula_expected for bug in several)
    glossary = [*_entry("where", f"{signs}; {_GLOSSARY}" if signs else _GLOSSARY)] if written else []
    for bug in several:
        lines = [Text(), *_bug(bug)]
        room = SCREEN - len(above) - len(glossary) - len(below) - 2
        if named or (shown and len(shown) + len(lines) > room):
            named.append(bug.id)
        else:
            shown += lines
    yield from above
    yield from shown
    if named:
        yield from _entry("and also", textwrap.shorten(", ".join(named), 2 * _ROOM - 10, placeholder=", …"))
    yield from glossary
    yield from below


def _head(report: TargetReport) -> Iterator[Text]:
    """The verdict, what the target is, the two answers, and a table of what was returned."""
    verdict = report.verdict
    yield Text.assemble(_shortened(report.target, WIDTH - 2 - len(verdict)), ": ", (verdict.value, COLOURS[verdict]))
    if report.recognised_as:
        yield from _entry("recognised as", report.recognised_as)
    for told in _answers(report):
        yield from _entry("answer", told)
    if report.detail:
        yield from _entry("reason", report.detail)
    if verdict in _MEANING and not report.detail:
        yield from _entry(verdict.value, _MEANING[verdict])
    if report.gradients:
        yield Text()
        yield from _gradients(report.gradients)


def _foot(report: TargetReport) -> Iterator[Text]:
    """Conventions and habits, and the command that shows all this again."""
    yield Text()
    for heading, words in conventions(report.observations).items():
        yield from _entry(heading, words)
    if report.reproduce:
        command = f"  {'reproduce':<{_HEADING}}{report.reproduce}"
        if columns(command) <= WIDTH:
            yield Text(command)
        else:
            yield Text("  reproduce")
            yield Text(f"  {report.reproduce}")


def _answers(report: TargetReport) -> Iterator[str]:
    """The two answers in words, where they are not both a plain yes."""
    conforms, consistent = report.conforms, report.consistent
    forward = report.gradients.get("y")
    if consistent is not None and forward is not None:
        own = {Verdict.CORRECT: "is the gradient of its own forward"}.get(
            consistent, "is not the gradient of its own forward" if consistent.failed else "may be that of its forward"
        )
        layer = "is the layer" if forward.conforms is Verdict.CORRECT else "is not the layer of the definition"
        if forward.conforms is Verdict.UNSTABLE:
            layer = "is the layer, but for its rounding"
        alike = (consistent is Verdict.CORRECT) == (forward.conforms in (Verdict.CORRECT, Verdict.UNSTABLE))
        joined = "and" if alike else "but"
        whose = report.observations.get("as_in")
        others = [name for name, finding in report.gradients.items() if " " in name and finding.verdict.failed]
        training = "in training " if others else ""
        yield f"{training}its backward {own}, {joined} its forward {layer}{f'; it is that of {whose}' if whose else ''}"
    elif conforms is not None and set(report.gradients) & {"y"} and not report.gradients.keys() - {"y"}:
        yield "a forward alone: nothing is said about gradients"


def _gradients(found: Mapping[str, Finding]) -> Iterator[Text]:
    """A line for each returned array: both verdicts, and the element that decided."""
    width = max(len("gradient"), *map(len, found))
    heading = f"  {'gradient':<{width}}  {'conforms':<12}  {'consistent':<12}"
    yield Text(f"{heading}  {'element':>11} {'got':>9} {'expected':>9}", "dim")
    for name, finding in found.items():
        worst = finding.worst
        answers = finding.conforms, finding.consistent
        said = [(f"  {verdict or '-':<12}", COLOURS[verdict] if verdict else "") for verdict in answers]
        index = ",".join(map(str, worst.index))
        numbers = f"  {index:>11} {worst.got:>9.3g} {worst.expected:>9.3g}"
        yield Text.assemble(f"  {name:<{width}}", *said, numbers)
    first = next(((name, finding) for name, finding in found.items() if finding.verdict.failed), None)
    if first is not None:
        (array, space, mode), finding = first[0].partition(" "), first[1]
        at = f"{array}[{', '.join(map(str, finding.worst.index))}]{space}{mode}"
        off = f"{at} is off by {finding.worst.error:.2g} where rounding allows {finding.worst.tolerance:.2g}"
        yield from _entry("", f"{off} ({finding.dtype}, {finding.layout})")


def _bug(bug: Diagnosis) -> Iterator[Text]:
    yield Text.assemble("  ", (bug.id, "bold"), f" in {bug.gradient}")
    yield from _entry("what", bug.explanation)
    if bug.formula_got:
        yield from _entry("computed", bug.formula_got)
    if bug.formula_expected:
        yield from _entry("right", bug.formula_expected)
    yield from _entry("fix", bug.fix)
    if bug.id != UNKNOWN:
        yield from _entry("more", f"python -m bncheck explain {bug.id}")


def conventions(observed: Mapping[str, Any]) -> dict[str, str]:
    """A target's conventions and habits in words, under two headings.

    >>> conventions({"eps": 1e-6, "eps_place": "inside the root", "statistics": "per activation"})
    {'conventions': 'statistics per activation; eps 1e-06, inside the root'}
    """
    said = {name: value for name, value in observed.items() if value not in (None, "unknown", [], {}, "none")}
    parts = [f"statistics {said['statistics']}"] if "statistics" in said else []
    if "eps" in said:
        eps = said["eps"] if isinstance(said["eps"], str) else f"{said['eps']:g}"
        own = [f"by default {said['default_eps']:g}"] if isinstance(said.get("default_eps"), float) else []
        parts.append(", ".join([f"eps {eps}", *own, *([said["eps_place"]] if "eps_place" in said else [])]))
    elif "eps_place" in said:
        parts.append(f"eps {said['eps_place']}")
    if "variance" in said:
        parts.append(f"{said['variance']} variance")
    if "new_weight" in said:
        momentum = f" (momentum is the {said['momentum']})" if "momentum" in said else ""
        divisor = f", of the {said['running_variance']} variance" if "running_variance" in said else ""
        parts.append(f"running statistics take {said['new_weight']:g} of the new batch{momentum}{divisor}")
    if "evaluation" in said:
        parts.append(f"evaluation uses the {said['evaluation']}")
    habits = [
        words.format(", ".join(said[name]) if isinstance(said.get(name), list | dict) else "")
        for name, words in _HABITS.items()
        if (said.get(name) is False if name in _GOOD else name in said)
    ]
    told = {"conventions": "; ".join(parts), "habits": "; ".join(habits)}
    return {heading: words for heading, words in told.items() if words}


_HABITS = {
    "mutates": "writes to {}",
    "repeatable": "answers differently each time",
    "interleaved": "forgets its cache when another forward comes between",
    "surroundings": "changes {} for everybody",
    "dtype_changed": "answers another dtype for {}",
}
_GOOD = ("repeatable", "interleaved")


def _table(found: Examination) -> Iterator[Text]:
    """A row for each target, in the order in which they were given, and how many there are of each verdict."""
    reports = found.reports
    files = Counter(report.target.partition(":")[0] for report in reports)
    names = [_row_name(report.target, files) for report in reports]
    width = min(38, max(map(columns, names), default=6))
    room = WIDTH - width - 16
    yield Text(f"{'target':<{width}}  {'verdict':<12}  finding", "dim")
    for report, name in zip(reports, names, strict=True):
        shown, told = _shortened(name, width), finding(report)
        told = told if columns(told) <= room else f"{told[: room - 1]}…"
        verdict = (f"{report.verdict.value:<12}" if told else report.verdict.value, COLOURS[report.verdict])
        yield Text.assemble(shown, " " * (width - columns(shown) + 2), verdict, f"  {told}" if told else "")
    counts = Counter(report.verdict for report in reports)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    yield Text()
    yield Text(f"{len(reports)} targets: {told}")
    yield Text.assemble("verdict: ", (found.verdict.value, COLOURS[found.verdict]))


def _row_name(target: str, files: Mapping[str, int]) -> str:
    """The file, and of several targets in it the one that is meant; of a pair, its backward."""
    file, _, name = target.partition(":")
    return file if files[file] == 1 or not name else f"{file}:{name.rpartition('+')[2]}"


def _shortened(target: str, room: int) -> str:
    """The end of an address, which tells more than its beginning."""
    shown = plain(target)
    return shown if len(shown) <= room else f"…{shown[1 - room :]}"


def _entry(heading: str, words: str) -> Iterator[Text]:
    first, *others = textwrap.wrap(plain(words), _ROOM, break_on_hyphens=False) or [""]
    yield Text.assemble("  ", (f"{heading:<{_HEADING}}", "dim"), first)
    yield from (Text(" " * (2 + _HEADING) + line) for line in others)
