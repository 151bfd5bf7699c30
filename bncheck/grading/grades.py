"""A class examined: each submission's status, from the reports on its files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bncheck.errors import InvalidInput
from bncheck.examination.files import Interrupted, examined, refuse_unknown
from bncheck.grading.alike import Alike, alike
from bncheck.grading.submissions import SUFFIXES, Submission
from bncheck.report.targets import finding
from bncheck.report.text import plain
from bncheck.results import TargetReport
from bncheck.targets.sandbox import within_bounds
from bncheck.tolerances.verdicts import Verdict, fold
from bncheck.version import __version__


class Status(StrEnum):
    """What is said of a submission: the verdict on its targets, or why there is none."""

    CORRECT = "correct"
    INCOMPLETE = "incomplete"
    WRONG = "wrong"
    UNSTABLE = "unstable"
    INCONCLUSIVE = "inconclusive"
    VACUOUS = "vacuous"
    UNFINISHED = "unfinished"
    CRASHED = "crashed"
    REFUSED = "refused"
    WAITING = "waiting"


WORDS: Mapping[str, str] = {
    "correct": "all that was asked is right",
    "incomplete": "what was asked is right, but not all of it could be read, or not all that the layer has was asked",
    "wrong": "some answer is not the layer's, or its backward is not its own gradient",
    "unstable": "the formula is right, its rounding is not",
    "inconclusive": "nothing could be concluded",
    "vacuous": "no bug could have shown on these cases",
    "unfinished": "it is not written yet",
    "crashed": "it raised, ended its process, or exceeded a limit",
    "refused": "nothing in it could be read or recognised",
    "waiting": "it was not come to: interrupted",
}
"""Every status in the order in which they are shown, in words."""

_CRASHES = (
    ("time", re.compile(r"no answer within")),
    ("memory", re.compile(r"memory")),
    ("exited", re.compile(r"called sys\.exit|ended its process")),
    ("raised", re.compile(r"\braised\b")),
)
_NOTHING, _INTERRUPTED = "Nothing to check: ", "It was not come to"


@dataclass(frozen=True)
class Grade:
    """One submission: its status, the reports on its targets, and what of it was not read."""

    label: str
    status: Status
    reports: tuple[TargetReport, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def correct(self) -> int:
        """How many gradients are right."""
        return sum(found.verdict is Verdict.CORRECT for found in self._gradients())

    @property
    def asked(self) -> int:
        """How many gradients were returned and held against the layer's."""
        return len(self._gradients())

    def _gradients(self) -> list[Any]:
        return [found for report in self.reports for name, found in report.gradients.items() if name.startswith("d")]

    @property
    def bugs(self) -> tuple[str, ...]:
        """The bugs by their names."""
        return tuple(dict.fromkeys(bug.id for report in self.reports for bug in report.diagnosis))

    @property
    def cause(self) -> str:
        """How it crashed: time, memory, exited, raised or died; "" where it did not."""
        detail = next((report.detail for report in self.reports if report.verdict is Verdict.CRASHED), None)
        if detail is None:
            return ""
        return next((cause for cause, pattern in _CRASHES if pattern.search(detail)), "died")

    @property
    def feedback(self) -> str:
        """One line: what is amiss."""
        decisive = [report for report in self.reports if report.verdict.value == self.status.value] or self.reports
        said = [line for report in decisive if (line := _line(report))]
        said = said or list(self.unread) or [WORDS[self.status]]
        return plain("; ".join(dict.fromkeys(said)))


def _line(report: TargetReport) -> str:
    bugs = [f"{bug.gradient}: {bug.explanation}" for bug in report.diagnosis]
    return "; ".join(bugs) or finding(report)


@dataclass(frozen=True)
class Graded:
    """A class: each submission's grade, who fails alike, and the command that made it."""

    grades: tuple[Grade, ...]
    alike: tuple[Alike, ...]
    seed: int
    command: str
    version: str = __version__

    @property
    def verdict(self) -> Verdict:
        """The verdict on all: each must be correct; what was refused or not come to leaves it open."""
        verdicts = [report.verdict for grade in self.grades for report in grade.reports]
        open_ = [Verdict.INCONCLUSIVE for grade in self.grades if grade.status in (Status.REFUSED, Status.WAITING)]
        return fold([*verdicts, *open_], every=True)


class BrokenOff(KeyboardInterrupt):
    """An interruption, with what was graded by then."""

    def __init__(self, graded: Graded) -> None:
        super().__init__()
        self.graded = graded


def grade(
    class_: Sequence[Submission],
    *,
    name: str = "",
    command: str = "",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Graded:
    """Examines every submission; `options` are those of `bncheck.examination.files.examined`.

    First the files that no other of the submission imports; then, where nothing with a gradient is recognised in these,
    the helpers and tests.

    Raises
        InvalidInput: an option is none.
        BrokenOff: by Ctrl-C; those that it did not come to are waiting.
    """
    refuse_unknown(options.get("layer"), options.get("dtypes", ()))
    within_bounds(options["time_limit"], options["memory_limit"])
    reports: dict[int, list[TargetReport]] = {k: [] for k in range(len(class_))}
    for files in ("first", "others"):
        left = [(k, path) for k, one in enumerate(class_) for path in getattr(one, files) if not _has_any(reports[k])]
        asked = [f"{path}:{name}" if name and path.suffix != ".onnx" else str(path) for _, path in left]
        try:
            found = _examined(asked, seed=seed, progress=progress, **options)
        except Interrupted as broken_off:
            places = {str(path): k for k, path in left}
            for report in broken_off.reports:
                reports[places[_file(report.target)]].append(report)
            raise BrokenOff(_graded(class_, reports, seed, command)) from broken_off.__cause__
        for n, (k, _) in enumerate(left):
            reports[k] += [replace(report, witness=None) for report in found.get(n, ())]
    return _graded(class_, reports, seed, command)


def _has_any(reports: Sequence[TargetReport]) -> bool:
    return any(report.gradients or report.verdict is Verdict.UNFINISHED for report in reports)


def _examined(asked: list[str], **options: Any) -> dict[int, tuple[TargetReport, ...]]:
    if not asked:
        return {}
    try:
        return examined(asked, **options)
    except InvalidInput as refusal:
        if len(asked) > 1 or refusal.fields[0] != "target":
            raise
        words = f"{_NOTHING}expected {refusal.fields[2]}. {refusal.fields[3]}"
        return {0: (TargetReport(asked[0], "", "", Verdict.INCONCLUSIVE, detail=words),)}


def _file(target: str) -> str:
    return target if target.endswith(SUFFIXES) else target.rpartition(":")[0]


def _graded(
    class_: Sequence[Submission], reports: Mapping[int, Sequence[TargetReport]], seed: int, command: str
) -> Graded:
    grades = tuple(_grade(one, reports[k]) for k, one in enumerate(class_))
    compared = {k: grade.reports for k, grade in enumerate(grades) if any(report.gradients for report in grade.reports)}
    return Graded(grades, alike(compared), seed, command)


def _grade(one: Submission, reports: Sequence[TargetReport]) -> Grade:
    """The reports that say something, under the names that files have within the submission."""
    shown = [_renamed(report, one.shown) for report in reports]
    telling = tuple(report for report in shown if not report.detail.startswith(_NOTHING))
    silent = [f"{report.target}: {_why(report.detail)}" for report in shown if report.detail.startswith(_NOTHING)]
    if not telling:
        return Grade(one.label, Status.REFUSED, (), (*one.unread, *silent))
    if any(report.detail.startswith(_INTERRUPTED) for report in telling):
        return Grade(one.label, Status.WAITING, (), one.unread)
    status = Status(fold((r.verdict for r in telling), every=True).value)
    if status is Status.CORRECT and one.unread:
        status = Status.INCOMPLETE
    return Grade(one.label, status, telling, (*one.unread, *silent))


def _why(detail: str) -> str:
    seen = re.search(r"; seen: (.*?)\. (?:Name it|Did you)", detail)
    if seen:
        return f"nothing in it is a layer ({seen[1]})"
    if "a name that" in detail:
        return detail.removeprefix(f"{_NOTHING}expected ").partition(". ")[0]
    return "nothing in it is a layer"


def _renamed(report: TargetReport, shown: Mapping[Path, str]) -> TargetReport:
    file = _file(report.target)
    own = shown.get(Path(file), file)
    target = own + report.target.removeprefix(file)
    detail = report.detail.replace(Path(file).name, Path(own).name)
    reproduce = report.reproduce.replace(shlex.quote(report.target), shlex.quote(target), 1)
    return replace(report, target=target, detail=detail, reproduce=reproduce)
