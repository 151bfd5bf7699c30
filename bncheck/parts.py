"""Work that is divided among machines: each writes a part, and the parts together are the report of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from bncheck.campaign.run import Piece, assembled
from bncheck.errors import InvalidInput
from bncheck.results import Examination, Report, TargetReport
from bncheck.stored import dumped, fits, loaded

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
        return dumped(held, kind=f"part of bncheck {self.command}", shard=self.name)

    @classmethod
    def read(cls, path: Path) -> Part:
        """Reads a file.

        Raises
            InvalidInput: it cannot be read, is damaged, or is no part.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise _refused(path, error.strerror or "it cannot be read", "Is it the right path?") from error
        except UnicodeDecodeError as error:
            raise _refused(path, "it is no text") from error
        try:
            form, *held = loaded(text)
            part = cls(*held)
            is_one = form == FORMAT and _is_one(part)
        except (InvalidInput, ValueError, TypeError, LookupError):
            is_one = False
        if not is_one:
            raise _refused(path, "it is damaged, of another version, or something else")
        return part


_AGAIN = "Leave it out, or make it again."


def _refused(path: Path, reason: str, advice: str = "Make it again with the same --shard.") -> InvalidInput:
    return InvalidInput("part", str(path), f"a part that --shard has written; {reason}", advice)


def _is_one(part: Part) -> bool:
    """Whether it holds what a part of its command does."""
    shard_of("{}/{}".format(*part.shard))
    kind: Any = {"verify": Piece, "check": tuple[TargetReport, ...]}[part.command]
    return (
        fits(part.depends, Mapping[str, Any])
        and fits(part.depends.get("seed"), int)
        and fits(part.units, int)
        and fits(part.results, Mapping[int, kind])
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
            raise InvalidInput("part", str(path), f"a part of the same work as {first}; {difference}", _AGAIN)
        if part.shard in seen:
            told = f"each part once; {seen[part.shard]} is {part.name}, too"
            raise InvalidInput("part", str(path), told, "Leave out one of them.")
        seen[part.shard] = path
    missing = [k for k in range(1, one.shard[1] + 1) if (k, one.shard[1]) not in seen]
    if missing:
        names = ", ".join(f"{k}/{one.shard[1]}" for k in missing[:5]) + (", …" if missing[5:] else "")
        advice = f"Run the same with --shard {missing[0]}/{one.shard[1]}."
        raise InvalidInput("part", names, f"all {one.shard[1]} parts; these are missing", advice)
    dealt = sorted((item for part in parts.values() for item in part.results.items()), key=itemgetter(0))
    is_all = len(dealt) == one.units and [k for k, _ in dealt] == list(range(one.units))
    with suppress(KeyError, TypeError):
        if is_all:
            return _report(one, [result for _, result in dealt])
    raise InvalidInput("part", str(first), "parts that together are one whole", "Make them again.")


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
