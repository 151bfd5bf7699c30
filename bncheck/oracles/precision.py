"""The precision that Arb computes with. It belongs to the whole process, so one thread at a time may change it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flint import ctx

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def bits(number: int) -> Iterator[None]:
    """Balls are computed with so many bits inside; other threads wait.

    >>> with bits(200):
    ...     ctx.prec
    200
    """
    with _ONE_AT_A_TIME, ctx.workprec(number):
        yield
