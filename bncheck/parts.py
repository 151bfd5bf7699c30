"""Work that is divided among machines: each writes a part, and the parts together are the report of the whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bncheck.campaign.run import assembled
from bncheck.errors import InvalidInput
from bncheck.results import Examination, LayerReport, Report, Result, TargetReport
from bncheck.stored import dumped, loaded

FORMAT = 1
"""Raised where what a part holds changes."""

MOST = 100_000
"""The most parts that work may be divided into."""

Shard = tuple[int, int]
"""Which part, from 1, of how many."""


def shard_of(text: str) -> Shard:
    """Reads ``K/N``.

    Raises
        InvalidInput: it is none.

    >>> shard_of("2/7")
    (2, 7)
    """
    k, _, n = text.partition("/")
    if not (k.isascii() and n.isascii() and k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n) <= MOST):
        raise InvalidInput("shard", text, "K/N, part K of N, counted from 1", "2/7, for example.")
    return int(k), int(n)


@dataclass(frozen=True)
class Part:
    """One part: which command it is of, all that its results depend on, which part, of how many units, and the results.

    `results` are by their places in the whole: of verify, what the units of a campaign give; of check, the reports on
    each file or module.
    """

    command: str
    depends: Mapping[str, Any]
    shard: Shard
    units: int
    results: Mapping[int, Any]

    @property
    def name(self) -> str:
        """Its number, as --shard takes it."""
        return "{}/{}".format(*self.shard)

    def written(self) -> str:
        """The part as a file holds it."""
        held = [FORMAT, self.command, dict(self.depends), self.shard, self.units, dict(self.results)]
        return json.dumps({"a part of": f"bncheck {self.command}", "shard": self.name}) + "\n" + dumped(held) + "\n"

    @classmethod
    def read(cls, path: Path) -> Part:
        """Reads a file.

        Raises
            InvalidInput: it cannot be read, or is no part, or not a whole one.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise _refused(path, error.strerror or "it cannot be read", "Is it the right path?") from error
        except UnicodeDecodeError as error:
            raise _refused(path, "it is no text") from error
        try:
            form, command, depends, shard, units, results = loaded(text.partition("\n")[2])
            shard_of("{}/{}".format(*shard))
            part = cls(command, depends, shard, units, results)
            is_whole = form == FORMAT and set(results) == set(range(shard[0] - 1, units, shard[1])) and _whole(part)
        except (InvalidInput, ValueError, TypeError, IndexError) as error:
            raise _refused(path, "it is damaged, or something else") from error
        if not is_whole:
            raise _refused(path, "it is not whole, or of another version")
        return part


def _refused(path: Path, reason: str, advice: str = "Make it again with the same --shard.") -> InvalidInput:
    return InvalidInput("part", str(path), f"a part that --shard has written; {reason}", advice)


def _whole(part: Part) -> bool:
    """Whether its results are of the kind that its command gives."""
    if not isinstance(part.depends, dict) or not isinstance(part.depends.get("seed"), int):
        return False
    if part.command == "verify":
        return all(
            isinstance(one, tuple)
            and len(one) == 2
            and isinstance(one[0], int)
            and isinstance(one[1], LayerReport | Result)
            for one in part.results.values()
        )
    return part.command == "check" and all(
        isinstance(one, tuple) and all(isinstance(report, TargetReport) for report in one)
        for one in part.results.values()
    )


def merged(paths: Sequence[Path]) -> Report | Examination:
    """The report that the whole would have had, from its parts in any order.

    Raises
        InvalidInput: a part is missing, or there twice, or not of the same work, or cannot be read.
    """
    parts = {path: Part.read(path) for path in dict.fromkeys(paths)}
    if not parts:
        raise InvalidInput("part", "none", "at least one part", "Name the files that --shard has written.")
    first, one = next(iter(parts.items()))
    seen: dict[Shard, Path] = {}
    for path, part in parts.items():
        if (difference := _difference(one, part)) is not None:
            raise InvalidInput("part", str(path), f"a part of the same work as {first}; {difference}", "Leave it out.")
        if part.shard in seen:
            told = f"each part once; {seen[part.shard]} is {part.name}, too"
            raise InvalidInput("part", str(path), told, "Leave out one of them.")
        seen[part.shard] = path
    missing = [k for k in range(1, one.shard[1] + 1) if (k, one.shard[1]) not in seen]
    if missing:
        names = ", ".join(f"{k}/{one.shard[1]}" for k in missing[:5]) + (", …" if missing[5:] else "")
        advice = f"Run the same with --shard {missing[0]}/{one.shard[1]}."
        raise InvalidInput("part", names, f"all {one.shard[1]} parts; these are missing", advice)
    results = dict(sorted((k, result) for part in parts.values() for k, result in part.results.items()))
    try:
        return _report(one, results.values())
    except (KeyError, TypeError) as error:
        raise InvalidInput("part", str(first), "parts of one campaign", "Make them again.") from error


def _report(part: Part, results: Iterable[Any]) -> Report | Examination:
    if part.command == "verify":
        return assembled(part.depends["seed"], results)
    return Examination(part.depends["seed"], tuple(report for of_one in results for report in of_one))


def _difference(one: Part, other: Part) -> str | None:
    """What tells two parts to be of other work, in words."""
    if one.command != other.command:
        return f"it is of {other.command}, not of {one.command}"
    if one.shard[1] != other.shard[1]:
        return f"it is one of {other.shard[1]}, not of {one.shard[1]}"
    for name in sorted({*one.depends, *other.depends}):
        mine, theirs = one.depends.get(name), other.depends.get(name)
        if mine != theirs:
            return f"{name} is another: {theirs!r:.60}, not {mine!r:.60}"
    return None if one.units == other.units else f"it is of {other.units} units, not of {one.units}"
