"""The process in which somebody's code runs, ``python -m bncheck.targets.child.__main__``; `sandbox` speaks with it.

It answers one request after another. Whatever the code raises becomes an answer; whatever it prints goes to the error
stream, for the answers travel on a stream of their own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import BinaryIO

from bncheck.targets import wire
from bncheck.targets.child.session import Session


def _limit(memory: int) -> None:
    """Bounds the address space where the system can; elsewhere only time is limited."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        if memory and (most == resource.RLIM_INFINITY or memory < most):
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _follow(parent: int) -> None:
    """Ends this process when the one that asks is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Requests and answers on private streams; input then is empty, and output goes where errors go."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


def main() -> None:
    """Answers requests until there are no more."""
    requests, answers = _channels()
    own = os.getpid()
    if os.name == "posix":
        threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    _limit(int(sys.argv[1]))
    os.environ["MPLBACKEND"] = "Agg"  # whatever is drawn, nobody looks
    os.environ["PYTHONBREAKPOINT"] = "0"  # nor types anything
    os.environ["NUMBA_BOUNDSCHECK"] = "1"  # arrays in shapes that do not fit are tried, which must not write anywhere
    session = Session()
    while True:
        try:
            header, arrays = wire.read(requests)
        except (wire.Garbled, OSError, ValueError):
            os._exit(0)
        try:
            answer, results = session.answer(header, arrays)
        except BaseException as error:  # a target may raise anything, and the next call must still be answered
            answer, results = session.failure(error), {}
        if os.getpid() != own:
            os._exit(0)
        wire.write(answers, {**answer, "id": header["id"]}, results)


if __name__ == "__main__":
    main()
