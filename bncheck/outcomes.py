"""What becomes of a claim about every size and every value: it is proved, refuted, or not decided."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a claim; what cannot be decided is never called proved, and never wrong."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "not decided"

    @classmethod
    def of_all(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """What became of several claims together: refuted where one is, proved where all are.

        >>> str(Outcome.of_all([Outcome.PROVED, Outcome.UNDECIDED]))
        'not decided'
        """
        present = set(outcomes)
        return next((outcome for outcome in (cls.REFUTED, cls.UNDECIDED) if outcome in present), cls.PROVED)
