"""Reports that were made before: a folder of them, so that work that was broken off goes on where it was.

A report is known by what it depends on: the target as it was named, the content of its file and of those that it
imports or names, every option, and the versions of bncheck, Python, NumPy and the packages that it imports. Where any
of them differs it is made anew. What crashed, or had a call that ended at a limit, is asked again: a machine that was
busy may have been the cause.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bncheck.files import write
from bncheck.results import TargetReport
from bncheck.stored import Unreadable, dumped, fits, loaded
from bncheck.targets.content import content
from bncheck.tolerances.verdicts import Verdict


class Kept:
    """A folder of reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(target: str, options: Mapping[str, Any]) -> str | None:
        """What the reports on a target are known by, unless it is made of more files than are looked at."""
        made_of = content(target)
        depends = [target, made_of, sorted((name, str(value)) for name, value in options.items())]
        if not made_of["code"]:
            return None
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()

    def get(self, key: str) -> tuple[TargetReport, ...] | None:
        """The reports, if they are there and whole."""
        try:
            known = loaded(self._place(key).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, Unreadable):
            return None
        return known if known and fits(known, tuple[TargetReport, ...]) else None

    def put(self, key: str, reports: tuple[TargetReport, ...]) -> None:
        """Keeps reports; where the folder cannot be written any more they are made again another time."""
        if not any(report.verdict is Verdict.CRASHED or report.cut_short for report in reports):
            with contextlib.suppress(OSError):
                write(self._place(key), dumped(reports, kind="reports of bncheck check", target=reports[0].target))

    def _place(self, key: str) -> Path:
        return self.folder / f"{key}.json"
