"""Times contenders side by side, so that a busy moment of the machine hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from functools import lru_cache, partial
from multiprocessing import get_context
from time import perf_counter
from typing import Any

Call = Callable[[], Any]


def side_by_side(contenders: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """The best time of each contender, in milliseconds.

    Each is called once unmeasured; then every round calls all of them in turn.
    """
    return _best({name: partial(milliseconds, call) for name, call in contenders.items()}, rounds)


def apart(make: Callable[..., Call], contenders: Mapping[str, tuple[Hashable, ...]], rounds: int) -> dict[str, float]:
    """The same for the calls that `make` makes from these arguments, each in a process of its own, three at a turn.

    Large arrays cost more or less according to what the process freed before; so none inherits another's history.
    """
    with ExitStack() as stack:
        clocks = {}
        for name, arguments in contenders.items():
            process = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            clocks[name] = partial(_milliseconds_in, process, make, arguments)
        return _best(clocks, rounds)


def milliseconds(call: Call) -> float:
    """How long one call takes."""
    start = perf_counter()
    call()
    return 1e3 * (perf_counter() - start)


def _best(clocks: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    for clock in clocks.values():
        clock()
    times = [{name: clock() for name, clock in clocks.items()} for _ in range(rounds)]
    return {name: min(each[name] for each in times) for name in clocks}


def _milliseconds_in(process: Executor, make: Callable[..., Call], arguments: tuple[Hashable, ...]) -> float:
    return process.submit(_milliseconds_of, make, arguments).result()


def _milliseconds_of(make: Callable[..., Call], arguments: tuple[Hashable, ...]) -> float:
    return min(milliseconds(_made(make, arguments)) for _ in range(3))


@lru_cache(maxsize=1)
def _made(make: Callable[..., Call], arguments: tuple[Hashable, ...]) -> Call:
    return make(*arguments)
