"""Reports that were made before: a folder of them, so that work that was broken off goes on where it was.

A report is known by what it depends on: the target as it was named, the content of its file and of those beside it that
it imports, every option, and the versions of bncheck, Python, NumPy and the frameworks that the file imports. Where any
of them differs it is made anew. What a file opens as data is not looked at. What crashed is asked again, since a
machine that was busy may have been the cause.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bncheck import extras
from bncheck.files import write
from bncheck.results import TargetReport
from bncheck.stored import Unreadable, dumped, loaded
from bncheck.targets.address import Address
from bncheck.tolerances.verdicts import Verdict


class Kept:
    """A folder of reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(target: str, options: Mapping[str, Any]) -> str:
        """What the reports on a target are known by."""
        depends = [target, content(target), sorted((name, str(value)) for name, value in options.items())]
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()

    def get(self, key: str) -> tuple[TargetReport, ...] | None:
        """The reports, if they are there and whole."""
        try:
            known = loaded(self._place(key).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, Unreadable):
            return None
        is_whole = isinstance(known, tuple) and known and all(isinstance(one, TargetReport) for one in known)
        return known if is_whole else None

    def put(self, key: str, reports: tuple[TargetReport, ...]) -> None:
        """Keeps reports; where the folder cannot be written any more they are made again another time."""
        if all(report.verdict is not Verdict.CRASHED for report in reports):
            with contextlib.suppress(OSError):
                write(self._place(key), dumped(reports))

    def _place(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def content(target: str) -> dict[str, str]:
    """What the answer of a target depends on beside the options: its code, and the versions of what runs it."""
    address = Address.parse(target)
    return {"code": address.fingerprint(), **extras.versions(*address.frameworks())}
