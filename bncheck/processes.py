"""Work in several processes, which an interruption ends all at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any


@contextmanager
def mapped(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map`, in this process or in several.

    >>> with mapped(1) as run:
    ...     list(run(abs, [-1, 2]))
    [1, 2]
    """
    if jobs == 1:
        yield map
        return
    # Children ignore Ctrl-C: they inherit that from the moment they start, and the parent ends them.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    pool = get_context("spawn").Pool(jobs)
    signal.signal(signal.SIGINT, handler)
    try:
        yield pool.imap
    finally:
        pool.terminate()
        pool.join()
