"""Renews the findings: `python docs/findings/renew.py` runs every page again, and writes the index.

What the samples print, and on which versions, is written into the pages; then the table of the pages into index.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
INDEX = HERE / "index.md"
ROOT = HERE.parents[1]


class Page(NamedTuple):
    """A finding, as its page tells it; layer, framework and case are those of its command, if it has one."""

    name: str
    title: str
    judged: str
    seen: dict[str, str]
    kept: str
    layer: str
    framework: str
    case: str

    def stale(self) -> str:
        """Which of its packages have other versions here; a package that is missing is not."""
        here = versions(self.seen)
        return ", ".join(f"{name} {here[name]}" for name in here if here[name] != self.seen[name])


def versions(names: dict[str, str]) -> dict[str, str]:
    """The installed versions of these packages, without what a build adds (2.13.0+cpu)."""
    return {name: version(name).partition("+")[0] for name in names}


def read(path: Path) -> Page:
    """What a page says of itself."""
    text = path.read_text(encoding="utf-8")
    row = dict(re.findall(r"^\| (judged|seen on|kept as) \| (.+) \|$", text, re.MULTILINE))
    command = re.search(r"^\$ bncheck verify --layer (\S+) --against (\S+) \\\n +--case (\S+)$", text, re.MULTILINE)
    seen = dict(package.rsplit(" ", 1) for package in row["seen on"].split(", "))
    title = text.partition("\n")[0].removeprefix("# ")
    return Page(path.stem, title, row["judged"], seen, row["kept as"], *(command.groups() if command else ("", "", "")))


def pages() -> list[Page]:
    """Every finding, framework by framework."""
    return [read(path) for path in sorted(HERE.glob("*.md")) if path != INDEX]


def index(found: list[Page]) -> str:
    """The page that leads to them."""
    rows = [
        f"| [{page.title}]({page.name}.md) | {page.judged} | {', '.join(map(' '.join, page.seen.items()))} |"
        f" {f'`{page.case}`' if page.case else page.kept.partition(':')[0]} |"
        for page in found
    ]
    return HEAD + "\n".join(rows) + "\n\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


HEAD = """# Known findings in other people's code

What bncheck found in released frameworks. Each page shows it in some ten lines without bncheck, then the smallest case
on which bncheck shows it; says why, term by term, how to mend it, and who knows of it, or what to report. A finding is
kept as such in `bncheck/frameworks/` instead of loosening a tolerance, and a report counts the cases on which it shows.
`python docs/findings/renew.py` runs all of it again and makes this table.

| finding | judged | seen on | smallest case |
|---|---|---|---|
"""


def main() -> int:
    """Runs the pages, and writes what has changed; 1 where a finding no longer shows as its page says."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "",
        "tests/test_docs.py",
        "-k",
        "samples_of_a_page and findings",
    ]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, "BNCHECK_RENEW": "1"}, check=False).returncode
    for path in HERE.glob("*.md"):
        if path != INDEX and not ran:
            text, seen = path.read_text(encoding="utf-8"), read(path).seen
            now = ", ".join(map(" ".join, versions(seen).items()))
            path.write_text(
                re.sub(r"^\| seen on \| .+ \|$", f"| seen on | {now} |", text, flags=re.MULTILINE), encoding="utf-8"
            )
    INDEX.write_text(index(pages()), encoding="utf-8")
    return ran


if __name__ == "__main__":
    sys.exit(main())
