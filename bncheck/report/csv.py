"""Reports on targets as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io

from bncheck.report.targets import finding
from bncheck.results import Examination

_COLUMNS = ("target", "layer", "recognised_as", "verdict", "consistent", "conforms", "wrong", "diagnosis", "reproduce")


def examination(found: Examination) -> str:
    """A line for each target; `wrong` names what failed, `diagnosis` the bugs, or says why nothing could be told.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    stream = io.StringIO()
    written = csv.writer(stream, lineterminator="\n")
    written.writerow(_COLUMNS)
    for report in found.reports:
        wrong = " ".join(name for name, seen in report.gradients.items() if seen.verdict.failed)
        said = [verdict or "" for verdict in (report.verdict, report.consistent, report.conforms)]
        cells = [report.target, report.layer, report.recognised_as, *said, wrong, finding(report), report.reproduce]
        written.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in map(str, cells)])
    return stream.getvalue()
