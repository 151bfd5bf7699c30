"""Budgets of processor time: the algebra asks at every step whether the one it works under is spent.

Nothing is interrupted from outside, so budgets work in every thread and process alike, and one within another.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

DERIVATION = 30.0
"""Seconds of processor time in which the gradients of a definition have to be derived; then it is refused."""

PROOF = 20.0
"""Seconds in which the equalities of one proof have to be decided, all together; the rest is not decided."""

THEOREMS = 20.0
"""Seconds in which the theorems about one layer have to be decided, all together; the rest is not decided."""


class Spent(Exception):  # not an error: it tells whoever set the budget to give up
    """The budget is spent."""


_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def check() -> None:
    """Gives up where the budget is spent.

    Raises
        Spent: it is.
    """
    if time.thread_time() > _deadline.get():
        raise Spent


@dataclass
class Budget:
    """Seconds of processor time to be used bit by bit.

    >>> with Budget(0).running():
    ...     check()
    Traceback (most recent call last):
    bncheck.oracles.symbolic.budgets.Spent
    """

    seconds: float

    @contextmanager
    def running(self) -> Iterator[None]:
        """The clock runs inside; where a budget around it is spent earlier, that one holds."""
        start = time.thread_time()
        token = _deadline.set(min(_deadline.get(), start + self.seconds))
        try:
            yield
        finally:
            _deadline.reset(token)
            self.seconds -= time.thread_time() - start
