"""Work in several processes, which end all at once with the one that asks, however that ends; or on any executor.

Each process is a fresh interpreter that reads pickled work and writes pickled results. A script needs no
``if __name__ == "__main__"`` for it, unless the work itself is defined in the script; and it can be asked for from any
thread, and from processes that may have no children of multiprocessing's kind.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager
from functools import partial
from multiprocessing import current_process, spawn
from pathlib import Path
from typing import Any, BinaryIO, cast

from bncheck.errors import InvalidInput

MOST = 256
"""The most processes that one may ask for."""

Runs = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]


class WorkerDied(RuntimeError):
    """A process was killed from without while it worked."""


@contextmanager
def workers(jobs: int, executor: Executor | None = None) -> Iterator[Runs]:
    """Work on many items, in this process or in several: the place of each and its result, as they come.

    With an executor the items are submitted to that. What is raised for an item is its result.

    >>> with workers(1) as run:
    ...     list(run(abs, [-1, 2]))
    [(0, 1), (1, 2)]
    """
    if executor is not None:
        if jobs != 1:
            raise InvalidInput("jobs", jobs, "none beside an executor, which has its own", "Leave out one of them.")
        futures: dict[Future[Any], int] = {}
        try:
            yield partial(_submitted, executor, futures)
        finally:  # what is not begun when the asking ends is not wanted any more
            for future in futures:
                future.cancel()
        return
    if jobs == 1:
        yield _here
        return
    several = [_Worker() for _ in range(min(jobs, MOST))]
    try:
        yield lambda work, items: _there(several, work, items)
    finally:
        for worker in several:
            worker.end()


@contextmanager
def mapped(
    jobs: int, executor: Executor | None = None
) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]]:
    """`map`, in this process or in several, or on an executor.

    >>> with mapped(1) as run:
    ...     list(run(abs, [-1, 2]))
    [1, 2]
    """
    here = jobs == 1 and executor is None
    with workers(jobs, executor) as run:
        yield lambda work, items: map(_raised, map(work, items) if here else _in_order(run(work, items)))


def _in_order(results: Iterator[tuple[int, Any]]) -> Iterator[Any]:
    early: dict[int, Any] = {}
    expected = 0
    for k, result in results:
        early[k] = result
        while expected in early:
            yield early.pop(expected)
            expected += 1


def _raised(result: Any) -> Any:
    if isinstance(result, Exception):
        raise result
    return result


def _here(work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    for k, item in enumerate(items):
        yield k, _result(work, item)


def _result(work: Callable[[Any], Any], item: Any) -> Any:
    try:
        return work(item)
    except Exception as error:  # for whoever asked to raise
        return error


def _submitted(
    executor: Executor, futures: dict[Future[Any], int], work: Callable[[Any], Any], items: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Submits every item, and notes the place of each among the futures."""
    try:
        for k, item in enumerate(items):
            futures[executor.submit(_result, work, item)] = k
    except (RuntimeError, TypeError, AttributeError) as error:  # so say those that are shut down, or are none
        raise _refused(executor, error) from error
    for future in as_completed(list(futures)):
        yield futures.pop(future), _outcome(future, executor)


def _outcome(future: Future[Any], executor: Executor) -> Any:
    """What became of an item. Errors in the work are results; those that are left lie between here and there."""
    try:
        return future.result()
    except Exception as error:
        return _refused(executor, error)


def _refused(executor: Executor, error: Exception) -> InvalidInput:
    told = f"one that can run this work; {type(error).__name__}: {error}".rstrip(".")
    advice = "What is sent to other processes has to be picklable: define it in a module."
    if isinstance(error, BrokenExecutor):
        advice = "One of its processes was killed, perhaps for want of memory: start another, with fewer."
    return InvalidInput("executor", type(executor).__name__, told, advice)


def _there(several: Sequence[_Worker], work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Hands each item to the next process that is free."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    for k in range(len(items)):
        waiting.put(k)

    def follow(worker: _Worker) -> None:
        with contextlib.suppress(queue.Empty):
            while not worker.ended:
                k = waiting.get_nowait()
                results.put((k, worker.ask(work, items[k])))

    for worker in several:
        threading.Thread(target=follow, args=(worker,), daemon=True).start()
    for _ in items:
        yield results.get()


_SERVE = "import sys; sys.path.insert(0, sys.argv[1]); from bncheck.processes import serve; serve()"


class _Worker:
    """One process, started when it is first asked, and again when it has died."""

    def __init__(self) -> None:
        self.ended = False
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # so that none is started once all have been ended

    def ask(self, work: Callable[[Any], Any], item: Any) -> Any:
        """The result of the work on an item, or what was raised."""
        try:
            sent = pickle.dumps((work, item))
            answer = self._answer((_surroundings(b"__main__" in sent), sent))
            return (
                WorkerDied("A process that bncheck had started was killed.") if answer is None else pickle.loads(answer)
            )
        except Exception as error:  # what cannot be pickled
            return error

    def _answer(self, request: tuple[dict[str, Any], bytes]) -> bytes | None:
        """The pickled result, or nothing: the process is dead then, and another will be started."""
        try:
            process = self._started()
            sent, received = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
            pickle.dump(request, sent)
            sent.flush()
            return cast(bytes, pickle.load(received))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._close()
            return None

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.ended:
                raise EOFError
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _SERVE, str(Path(__file__).resolve().parents[1])],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for the process that asks, which ends this one
                )
            return self._process

    def _close(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.ended = True
        self._close()


def _surroundings(script: bool) -> dict[str, Any]:
    """What another process needs in order to find the work: the path of modules, and the script if it is in that."""
    if getattr(current_process(), "_inheriting", False):
        words = "no work in several processes while a script is imported for such work"
        raise InvalidInput("jobs", "several", words, 'Put the call under if __name__ == "__main__", or leave out jobs.')
    needed = spawn.get_preparation_data("bncheck")
    return {
        name: value
        for name, value in needed.items()
        if name in ("sys_path", "dir", "sys_argv") or (script and name.startswith("init_main"))
    }


def serve() -> None:
    """Answers requests until there are no more; ends at once, whatever it does, when the process that asks has."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what the work prints
    waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    while True:
        result = _result(_answer, waiting.get())
        try:
            answer = pickle.dumps(result)
        except Exception as error:
            answer = pickle.dumps(RuntimeError(f"{type(result).__name__} cannot be sent to another process: {error}"))
        pickle.dump(answer, answers)
        answers.flush()


def _listen(requests: BinaryIO, waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    try:
        while True:
            waiting.put(pickle.load(requests))
    finally:
        os._exit(0)


def _answer(request: tuple[dict[str, Any], bytes]) -> Any:
    surroundings, sent = request
    process: Any = current_process()
    process._inheriting = True  # a script that asks for processes while it is read is refused, not followed for ever
    try:
        spawn.prepare(surroundings)
        work, item = pickle.loads(sent)
    finally:
        process._inheriting = False
    return work(item)
