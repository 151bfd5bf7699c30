"""What `bncheck check` says of code in foreign styles, right and wrong: ``python -m benchmarks.styles FOLDER``.

The folder holds sources and a ``manifest.json``, which tells of each whether it is right. What nothing is recognised in
is counted apart. Nothing is diagnosed: the verdict does not depend on it, and it takes most of the time.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import bncheck.examination.examine as usual
import bncheck.examination.probing as conditions
import bncheck.examination.running_statistics as modes
from bncheck.errors import InvalidInput
from bncheck.examination.files import check_target
from bncheck.results import Examination

NOT_RECOGNISED = "not recognised"
VERDICTS = ("correct", "incomplete", "wrong", "unstable", "crashed", "inconclusive", NOT_RECOGNISED)


def verdict_on(path: Path) -> str:
    """The verdict on all that a source holds."""
    try:
        return str(Examination(0, check_target(str(path))).verdict)
    except InvalidInput:
        return NOT_RECOGNISED


def counted(folder: Path) -> dict[bool, Counter[str]]:
    """How often each verdict was given, of right code and of wrong code; each source is told as it comes."""
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for one in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        verdict = verdict_on(folder / one["path"])
        counts[one["right"]][verdict] += 1
        print(f"{'right' if one['right'] else 'wrong'}  {verdict:<14}  {one['path']}", file=sys.stderr, flush=True)
    return counts


def table(counts: dict[bool, Counter[str]]) -> str:
    """A row for right code and one for wrong code.

    >>> print(table({True: Counter(correct=2), False: Counter(wrong=1)}).splitlines()[2])
    | right | 2 | 2 | 0 | 0 | 0 | 0 | 0 | 0 |
    """
    lines = [f"| code | sources | {' | '.join(VERDICTS)} |", "|---" * (len(VERDICTS) + 2) + "|"]
    for right, name in ((True, "right"), (False, "wrong")):
        cells = [sum(counts[right].values()), *(counts[right][verdict] for verdict in VERDICTS)]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Prints a table for each folder."""
    for module, name in ((usual, "_diagnosed"), (conditions, "diagnose"), (modes, "diagnose")):
        setattr(module, name, lambda *_: ())
    for folder in arguments:
        print(f"{table(counted(Path(folder)))}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
