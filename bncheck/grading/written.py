"""A class's grades as files for programs and people: a gradebook, everything, feedback to hand back, and a table."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bncheck.grading.grades import WORDS, Grade, Graded
from bncheck.report import json as reports
from bncheck.report.targets import one
from bncheck.report.text import COLOURS, WIDTH, plain, printed
from bncheck.results import Examination
from bncheck.tolerances.verdicts import Verdict

FORMAT = 1
"""Raised where what results.json holds changes."""

COLUMNS = (
    *("submission", "status", "cause", "gradients_correct", "gradients_asked", "bugs", "feedback", "targets", "report"),
)

_FORMULA = ("=", "+", "-", "@")
_ROWS = 40
_LONGEST = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def file_names(graded: Graded) -> list[str]:
    """A file for each submission's feedback: its label as far as any system can hold it, and told from the others."""
    names, taken = list[str](), set[str]()
    for grade in graded.grades:
        safe = re.sub(r'[/\\:*?"<>|]', "_", plain(grade.label)).strip(" .") or "_"
        safe = f"_{safe}" if _RESERVED.fullmatch(safe) else safe
        stem = safe.encode()[:_LONGEST].decode(errors="ignore")
        name, k = stem, 2
        while name.casefold() in taken:
            name, k = f"{stem}-{k}", k + 1
        taken.add(name.casefold())
        names.append(f"feedback/{name}.txt")
    return names


def gradebook(graded: Graded) -> str:
    """A row for each submission; a cell that a spreadsheet would take for a formula begins with an apostrophe.

    Blanks before such a sign do not hide it.
    """
    stream = io.StringIO()
    written = csv.writer(stream, lineterminator="\n")
    written.writerow(COLUMNS)
    for grade, file in zip(graded.grades, file_names(graded), strict=True):
        targets = " ".join(report.target for report in grade.reports)
        cells = [grade.label, grade.status, grade.cause, grade.correct, grade.asked, " ".join(grade.bugs)]
        cells += [grade.feedback, targets, file]
        written.writerow(
            [f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell for cell in map(plain, map(str, cells))]
        )
    return "\ufeff" + stream.getvalue()  # by which Excel knows UTF-8


def results(graded: Graded) -> str:
    """Everything, as JSON."""
    files = file_names(graded)
    document = {
        "bncheck": graded.version,
        "format": FORMAT,
        "command": graded.command,
        "seed": graded.seed,
        "verdict": graded.verdict.value,
        "counts": counts(graded),
        "submissions": [_submission(graded, grade, file) for grade, file in zip(graded.grades, files, strict=True)],
        "alike": [
            {
                "findings": [{"bug": bug, "gradient": gradient} for bug, gradient in group.findings],
                "submissions": [graded.grades[k].label for k in group.members],
                "places": list(group.members),
                "surprise_bits": round(group.bits, 6),
                "same_numbers": group.same_numbers,
            }
            for group in graded.alike
        ],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


def _submission(graded: Graded, grade: Grade, file: str) -> dict[str, Any]:
    examination = json.loads(reports.examination(Examination(graded.seed, grade.reports)))
    return {
        "submission": grade.label,
        "status": grade.status.value,
        "cause": grade.cause,
        "gradients_correct": grade.correct,
        "gradients_asked": grade.asked,
        "bugs": list(grade.bugs),
        "feedback": grade.feedback,
        "file": file,
        "not_read": list(grade.unread),
        "targets": examination["targets"],
    }


def counts(graded: Graded) -> dict[str, int]:
    """How many submissions there are of each status, in the order in which these are shown."""
    found = Counter(grade.status.value for grade in graded.grades)
    return {status: found[status] for status in WORDS if found[status]}


def feedback(graded: Graded, grade: Grade) -> str:
    """What is handed back to who wrote it: the status, each target's report, and what was not read."""
    lines = [f"{plain(grade.label)}: {grade.status}", *_wrapped(f"{WORDS[grade.status]}.")]
    if grade.asked:
        lines.append(f"{grade.correct} of {grade.asked} gradients correct")
    for words in grade.unread:
        lines += _wrapped(f"not read: {plain(words)}")
    for report in grade.reports:
        lines += ["", "-" * WIDTH, *map(plain, one(report).rstrip("\n").split("\n"))]
    return "\n".join([*lines, "", f"bncheck {graded.version}", ""])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def table(graded: Graded, place: str, *, colour: bool = False) -> str:
    """A row for each of the first submissions, how many there are of each status, and where the page lies."""
    return printed([*_table(graded, place)], colour=colour)


def _table(graded: Graded, place: str) -> Iterator[Any]:
    from rich.text import Text

    width = min(30, max(len("submission"), *(len(plain(grade.label)) for grade in graded.grades)))
    room = WIDTH - 12 - 2 - 9 - 2 - width - 2
    yield Text(f"{'status':<12}  {'gradients':<9}  {'submission':<{width}}  what is amiss", "dim")
    for grade in graded.grades[:_ROWS]:
        label = plain(grade.label)
        label = label if len(label) <= width else f"{label[: width - 1]}…"
        known = next((verdict for verdict in Verdict if verdict.value == grade.status.value), Verdict.INCONCLUSIVE)
        right = f"{grade.correct} of {grade.asked}" if grade.asked else "-"
        amiss = "" if grade.status == "correct" else ", ".join(grade.bugs) or grade.feedback
        amiss = f"{grade.cause}: {amiss}" if grade.cause else amiss
        amiss = amiss if len(amiss) <= room else f"{amiss[: room - 1]}…"
        status = (f"{grade.status:<12}", COLOURS[known])
        yield Text.assemble(status, f"  {right:<9}  {label:<{width}}  {amiss}".rstrip())
    if len(graded.grades) > _ROWS:
        yield Text(f"… and {len(graded.grades) - _ROWS} more")
    yield Text()
    told = ", ".join(f"{n} {status}" for status, n in counts(graded).items())
    yield from map(Text, _wrapped(f"{len(graded.grades)} submissions: {told}"))
    if graded.alike:
        group = graded.alike[0]
        words = f"most alike: {len(group.members)} submissions, {group.bits:.1f} bits of surprise; see the page"
        yield Text(words)
    yield Text(f"page: {place}")
