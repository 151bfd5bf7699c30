"""Reports on targets as annotations that GitHub shows beside the code."""

from __future__ import annotations

import re

from bncheck.report.targets import finding, one
from bncheck.results import Examination
from bncheck.tolerances.verdicts import Verdict


def examination(found: Examination) -> str:
    """An annotation for each target that is not correct; its text is the report."""
    lines = []
    for report in found.reports:
        if report.verdict is not Verdict.CORRECT:
            kind = "warning" if report.verdict in (Verdict.VACUOUS, Verdict.INCONCLUSIVE) else "error"
            place = re.match(r".*?\.(py|ipynb)(?=:|$)", report.target)
            file = f"file={_property(place[0])}," if place else ""
            title = _property(f"{report.verdict}: {finding(report)}")
            lines.append(f"::{kind} {file}title={title}::{_data(one(report))}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
