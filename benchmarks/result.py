"""What a benchmark returns: tables to read, and requirements with what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Effort(Enum):
    """How long a benchmark may take: enough to prove that it runs, as usual, or with everything."""

    SMOKE = auto()
    USUAL = auto()
    FULL = auto()


@dataclass(frozen=True)
class Table:
    """Rows under headings, and sentences that say how they were made."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: str


@dataclass(frozen=True)
class Requirement:
    """A number that has to be at most, or at least, its limit; one that is not judged is only shown."""

    what: str
    measured: float
    limit: float
    at_least: bool = False
    judged: bool = True

    @property
    def met(self) -> bool:
        """Whether the number is on the right side of its limit."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome."""

    title: str
    tables: tuple[Table, ...]
    requirements: tuple[Requirement, ...]

    @property
    def failed(self) -> bool:
        """Whether a requirement that is judged was not met."""
        return any(r.judged and not r.met for r in self.requirements)
