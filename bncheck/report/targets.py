"""Reports on targets for people: one screen for one, a row each for several, within 80 columns."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.text import Text

from bncheck.bugs.diagnose import UNKNOWN, Diagnosis
from bncheck.case import Layout
from bncheck.report.text import COLOURS, WIDTH, columns, misshapen, plain, printed, read
from bncheck.results import Check, Examination, Finding, TargetReport
from bncheck.tolerances.verdicts import Comparison, Verdict

_HEADING = 14
_ROOM = WIDTH - 2 - _HEADING
SCREEN = 40
"""The most lines of a report on one target."""

_LAYOUT = re.compile(r"\b[A-Z]+:[A-Z]+:[A-Z]*")
_GLOSSARY = "dx is ∂loss/∂x; m values per mean"

_MEANING = {
    Verdict.UNSTABLE: "the formula is right, its rounding is not: the error shrinks as the precision grows",
    Verdict.INCOMPLETE: "what was asked is right, but not all that the layer has was asked",
    Verdict.INCONCLUSIVE: "nothing could be concluded",
    Verdict.UNFINISHED: "it is not written yet",
    Verdict.VACUOUS: "no bug could have shown on these cases",
}


def text(found: Examination, *, colour: bool = False) -> str:
    """One screen for one target; for several a row each, and the screens of the first that are not right."""
    if len(found.reports) == 1:
        return one(found.reports[0], colour=colour)
    return printed([*_table(found), *_failing(found)], colour=colour)


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
    return printed(
        [*lines, *([*_gradients(check.gradients), *_legend(check.gradients)] if check.gradients else ())], colour=False
    )


def finding(report: TargetReport) -> str:
    """What is amiss in a few words: the bugs by their names, why there is no answer, or what was not asked."""
    name = report.target.rpartition("/")[2]
    bugs = ", ".join(plain(bug.explanation) if bug.id == UNKNOWN else bug.id for bug in report.diagnosis)
    detail = plain(report.detail).removeprefix(f"{name} ")
    return bugs or detail or next((f"{what} not asked: {plain(why)}" for what, why in report.not_asked.items()), "")


def _screen(report: TargetReport) -> Iterator[Text]:
    """At most `SCREEN` lines: bugs that do not fit are named only, and then what else can be said more briefly is."""
    lines = [*_composed(report, brief=False)]
    yield from lines if len(lines) <= SCREEN else _composed(report, brief=True)


def _composed(report: TargetReport, *, brief: bool) -> Iterator[Text]:
    above, below = [*_head(report, brief=brief)], [*_foot(report)]
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


def _head(report: TargetReport, *, brief: bool) -> Iterator[Text]:
    """The verdict, what the target is, the two answers, a table of what was returned, and what was asked."""
    verdict = report.verdict
    yield Text.assemble(_shortened(report.target), ": ", (verdict.value, COLOURS[verdict]))
    if report.recognised_as:
        yield from _entry("recognised as", report.recognised_as)
    if layout := _LAYOUT.search(report.recognised_as):
        yield from _entry("layout", read(Layout.parse(layout[0])))
    for told in _answers(report):
        yield from _entry("answer", told)
    if report.detail:
        yield from _entry("reason", report.detail)
    if verdict in _MEANING and not report.detail:
        yield from _entry(verdict.value, _MEANING[verdict])
    if report.gradients:
        yield Text()
        yield from _gradients(report.gradients)
        yield from () if brief else _legend(report.gradients)
    yield from _questions(report, brief=brief)


def _questions(report: TargetReport, *, brief: bool) -> Iterator[Text]:
    """What was asked, on two lines at most, and what was not, with why and what to do."""
    yield from _asked({heading: words for heading, words in report.asked.items() if words and heading != "places"})
    found = [place for place in report.asked.get("places", ()) if _is_telling(place)]
    yield from _entry("found", ", ".join(found)) if found else ()
    told = [f"{what}: {why}" for what, why in report.not_asked.items()]
    most = 1 if brief else _NOT_ASKED
    if len(told) > most + 1:
        names = ", ".join([*report.not_asked][most:])
        told[most:] = [textwrap.shorten(f"and {len(told) - most} more: {names}", _ROOM, placeholder=" …")]
    for k, words in enumerate(told):
        yield from _entry("" if k else "not asked", words)


_PLAIN = ("dtypes", "modes", "gradients")
"""What was asked of which the words speak for themselves."""

_NOT_ASKED = 4
"""How many things that were not asked are told in full."""


def _is_telling(place: str) -> bool:
    """Whether it is worth saying where something was found: in places that nobody can see at the call."""
    name, _, where = place.partition(": ")
    return where.startswith(("self.", "module", "[", "the step")) and not where.endswith(f".{name}")


def _asked(asked: Mapping[str, tuple[str, ...]]) -> Iterator[Text]:
    """The questions on two lines: the longest lists, where they do not fit, by their number."""
    told = {name: f"{'' if name in _PLAIN else f'{name} '}{', '.join(words)}" for name, words in asked.items()}
    lines = [*_entry("asked", "; ".join(told.values()))] if told else []
    for name in sorted(told, key=lambda name: -len(told[name])):
        if len(lines) > 2:
            told[name] = f"{len(asked[name])} {name}"
            lines = [*_entry("asked", "; ".join(told.values()))]
    yield from lines


def _foot(report: TargetReport) -> Iterator[Text]:
    """Conventions and habits, where it is drawn, and the command that shows all this again."""
    yield Text()
    for path in report.figures:
        yield from _line("figure:", path)
    for heading, words in conventions(report.observations).items():
        yield from _entry(heading, words)
    if report.reproduce:
        yield from _line("reproduce", report.reproduce)


def _line(heading: str, words: str) -> Iterator[Text]:
    """What is to be copied, unbroken: beside its heading where there is room, else below it."""
    line = f"  {heading:<{_HEADING}}{words}"
    yield from map(Text, [line] if columns(line) <= WIDTH else [f"  {heading}", f"  {words}"])


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
        index = "shape" if worst.shapes else ",".join(map(str, worst.index))
        sides = (
            [_compact(shape) for shape in worst.shapes]
            if worst.shapes
            else [f"{v:.3g}" for v in (worst.got, worst.expected)]
        )
        yield Text.assemble(f"  {name:<{width}}", *said, f"  {index:>11} {sides[0]:>9} {sides[1]:>9}")
    first = next(((name, finding) for name, finding in found.items() if finding.verdict.failed), None)
    if first is not None:
        yield from _entry("", f"{_off(first[0], first[1].worst)} ({first[1].dtype}, {first[1].layout})")


def _legend(found: Mapping[str, Finding]) -> Iterator[Text]:
    """What the headings of the table mean."""
    yield from _entry("conforms", "it is what the layer's definition gives, but for rounding")
    if any(finding.consistent for finding in found.values()):
        yield from _entry("consistent", "it is the gradient of this code's own forward")


def _off(name: str, worst: Comparison) -> str:
    """How far one array is from what was expected.

    >>> _off("dgamma", Comparison(Verdict.WRONG, (0,), np.nan, 1.0, np.nan, 0.1, 1.0, 1.0, 1.0, ((3,), (1, 3))))
    'dgamma has shape (3,), expected (1, 3)'
    """
    if worst.shapes:
        return f"{name} has shape {misshapen(worst.shapes)}"
    array, space, mode = name.partition(" ")
    at = f"{array}[{', '.join(map(str, worst.index))}]{space}{mode}"
    if not np.isfinite(worst.error):
        return f"{at} is {worst.got:.3g}, expected {worst.expected:.3g}"
    return f"{at} is off by {worst.error:.2g} where rounding allows {worst.tolerance:.2g}"


def _compact(shape: tuple[int, ...]) -> str:
    """A shape in a column.

    >>> _compact((8, 4)), _compact(())
    ('8×4', 'scalar')
    """
    return "×".join(map(str, shape)) or "scalar"


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
        without = ", and has no backward of its own" if "evaluation_backward" in said else ""
        parts.append(f"evaluation uses the {said['evaluation']}{without}")
    habits = [
        words.format(", ".join(said[name]) if isinstance(said.get(name), list | dict) else said.get(name))
        for name, words in _HABITS.items()
        if (said.get(name) is False if name in _GOOD else name in said)
    ]
    passed_over = [f"{', '.join(names)} ({why})" for why, names in said.get("passed_over", {}).items()]
    told = {
        "conventions": "; ".join(parts),
        "habits": "; ".join(habits),
        "loading": "; ".join(said.get("loading", ())),
        "passed over": textwrap.shorten("; ".join(passed_over), 2 * _ROOM - 4, placeholder=" …"),
    }
    return {heading: words for heading, words in told.items() if words}


_HABITS = {
    "mutates": "writes to {}",
    "repeatable": "answers differently each time",
    "interleaved": "forgets its cache when another forward comes between",
    "surroundings": "changes {} for everybody",
    "dtype_changed": "answers another dtype for {}",
    "narrows": "computes {} in float32",
    "misshapen": "in {} its gradients have not the sizes of γ and β: it was not asked there",
    "differentiable_once": "has a second derivative that is not its own: mark its backward once_differentiable",
    "keeps_until": "keeps what came before until {}() is called",
}
_GOOD = ("repeatable", "interleaved")


def _table(found: Examination) -> Iterator[Text]:
    """A row for each target, in the order in which they were given, and how many there are of each verdict."""
    reports = found.reports
    yield Text(f"{'verdict':<12}  target", "dim")
    for report in reports:
        yield Text.assemble((f"{report.verdict.value:<12}", COLOURS[report.verdict]), f"  {_shortened(report.target)}")
        if words := finding(report):
            yield Text(f"{'':<{_HEADING}}{textwrap.shorten(words, WIDTH - _HEADING, placeholder=' …')}")
    counts = Counter(report.verdict for report in reports)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    yield Text()
    yield Text(f"{len(reports)} targets: {told}")
    if drawn := [path for report in reports for path in report.figures]:
        yield Text(f"{len(drawn)} figures, of the first: {drawn[0]}")
    yield Text.assemble("verdict: ", (found.verdict.value, COLOURS[found.verdict]))


def _failing(found: Examination) -> Iterator[Text]:
    """The screens of the first targets that are not right, those that failed before the others; and how to go on."""
    amiss = [report for report in found.reports if report.verdict is not Verdict.CORRECT and report.reproduce]
    amiss.sort(key=lambda report: not report.verdict.failed)
    for report in amiss[:_IN_FULL]:
        yield Text("─" * WIDTH, "dim")
        yield from _screen(report)
    if following := amiss[_IN_FULL : 2 * _IN_FULL]:
        *_, flags = following[0].reproduce.partition(shlex.quote(following[0].target))
        targets = " ".join(shlex.quote(report.target) for report in following)
        yield Text("─" * WIDTH, "dim")
        yield Text(f"{len(amiss) - _IN_FULL} more are not right; the next in full:")
        yield Text(f"python -m bncheck check {targets}{flags}")


_IN_FULL = 3
"""How many targets are reported in full, of several."""


def _shortened(target: str) -> str:
    """An address without its first folders, as far as it would be too long; the same in a table and above a report."""
    shown, room = plain(target), WIDTH - _HEADING
    folders = shown.partition(":")[0].count("/")
    ends = [f"…/{shown.split('/', k)[k]}" for k in range(1, folders + 1)]
    return next((end for end in (shown, *ends) if len(end) <= room), f"…{shown[1 - room :]}")


def _entry(heading: str, words: str) -> Iterator[Text]:
    first, *others = textwrap.wrap(plain(words), _ROOM, break_on_hyphens=False) or [""]
    yield Text.assemble("  ", (f"{heading:<{_HEADING}}", "dim"), first)
    yield from (Text(" " * (2 + _HEADING) + line) for line in others)
