"""Reports on targets as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io

from bncheck.report.targets import finding
from bncheck.results import Examination

_COLUMNS = (
    *("target", "layer", "recognised_as", "verdict", "consistent", "conforms", "wrong", "diagnosis"),
    *("asked", "not_asked", "reproduce"),
)


def examination(found: Examination) -> str:
    """A line for each target; `wrong` names what failed, `diagnosis` the bugs, or says why nothing could be told.

    `asked` and `not_asked` are lists of ``what: which``, separated by ``|``.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    stream = io.StringIO()
    written = csv.writer(stream, lineterminator="\n")
    written.writerow(_COLUMNS)
    for report in found.reports:
        wrong = " ".join(name for name, seen in report.gradients.items() if seen.verdict.failed)
        said = [verdict or "" for verdict in (report.verdict, report.consistent, report.conforms)]
        asked = " | ".join(f"{heading}: {', '.join(words)}" for heading, words in report.asked.items())
        not_asked = " | ".join(f"{what}: {why}" for what, why in report.not_asked.items())
        cells = [report.target, report.layer, report.recognised_as, *said, wrong, finding(report)]
        cells += [asked, not_asked, report.reproduce]
        written.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in map(str, cells)])
    return stream.getvalue()
