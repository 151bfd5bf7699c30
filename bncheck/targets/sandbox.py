"""Runs somebody's code in a child process with limits, so that nothing it does reaches the process that asks.

A child is a fresh interpreter, kept warm over many calls and replaced when it has died, hung or answered nonsense. Only
JSON and the bytes of plain arrays come back (`bncheck.targets.wire`): nothing in an answer can run code here.

Limits
    `TIME_LIMIT` for each call, counted without the import of frameworks, which has `STARTUP_LIMIT`, and so has the
    first call with arrays of each kind where numba was imported, which compiles for each anew; `MEMORY_LIMIT` of
    address space, where the system enforces RLIMIT_AS (Linux does; macOS and Windows do not), to which is added what
    the frameworks that a file imports reserve for themselves: 2 GiB for torch, 12 GiB for JAX, which compiles each
    shape anew. Both are arguments of `Sandbox` and of `bncheck.targets.opening.open_target`; a memory limit of 0 is
    none.

What it does for certain
    The code and whatever it has started end with the call that needed them, or with bncheck, however that ends, SIGKILL
    included: a process between the two (`bncheck.targets.child.keeper`) sees to it, and is the only one that
    `os.getppid` leads to. The code's own process holds no oracle, no tolerance and no truth, and each case is new to
    it: to forge an answer that passes is to compute it. From Linux 6.12 on it can send no signal to a process that it
    did not start, and read the memory of none.

What it does not protect from
    It is no jail. The code runs as the user who starts it: it can read and write their files, use the network, and
    fill the disk. It can import bncheck and compute the right gradients with that, or take them from elsewhere; it can
    hide its habits, for what is told of them comes from its own process. Before Linux 6.12, and on other systems, it
    can look for bncheck's process and kill it. On systems other than Linux, what it detaches into a session of its own
    outlives it; on Windows, whatever it has started does. Where the author is not trusted that far, run bncheck in a
    container.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, cast

from bncheck.case import Array
from bncheck.errors import InvalidInput, TargetFailed
from bncheck.targets import wire
from bncheck.targets.address import Address

TIME_LIMIT = 10.0
"""Seconds for one call."""

STARTUP_LIMIT = 120.0
"""Seconds for a fresh interpreter with its frameworks."""

MEMORY_LIMIT = 2 << 30
"""Bytes of address space for a target and its arrays: 2 GiB."""

LONGEST, LARGEST = 86_400.0, 1 << 50
"""The limits that may be set at most: a day, and a pebibyte."""

_QUICK = MappingProxyType({"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})
"""What makes a framework answer sooner that compiles for each shape anew: the same operations."""

_RESERVED = MappingProxyType({"torch": 2 << 30, "jax": 12 << 30, "flax": 12 << 30, "keras": 12 << 30})
"""The address space that frameworks reserve for themselves on top; little of it is ever filled."""

_KEEPER = Path(__file__).parent / "child" / "keeper.py"
_KILLED = 128
"""What a keeper's exit status exceeds where a signal ended the code's process: by the number of the signal."""

_PATIENCE = 6.0
"""Seconds for a keeper, which itself gives up after fewer."""

Frame = tuple[dict[str, Any], dict[str, Array]]


def within_bounds(time_limit: float, memory_limit: int) -> None:
    """Refuses limits that are none.

    Raises
        InvalidInput: one of them is below what is possible, or beyond all measure.
    """
    if not 0 < time_limit <= LONGEST:
        constraint = f"seconds above 0, at most {LONGEST:.0f}"
        raise InvalidInput("time-limit", time_limit, constraint, "Leave it out for the default.")
    if not 0 <= memory_limit <= LARGEST:
        constraint = f"MiB of at least 0, at most {LARGEST >> 20}"
        raise InvalidInput("memory-limit", memory_limit >> 20, constraint, "Leave it out for the default.")


class _Child:
    """One child process, and the two threads that talk with it and listen to what it prints."""

    def __init__(self, memory_limit: int) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", **_QUICK, **os.environ}
        command = [sys.executable, "-B", "-P", "-m", "bncheck.targets.child.__main__", str(memory_limit)]
        if os.name == "posix":
            command = [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), *command]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**quiet, "PYTHONPATH": path},
            start_new_session=True,
        )
        self.requests: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self.printed: deque[bytes] = deque(maxlen=4)
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._converse, self._listen)]
        for thread in self.threads:
            thread.start()

    def _converse(self) -> None:
        """Sends requests and receives answers; None when that is no longer possible."""
        sent, received = cast(BinaryIO, self.process.stdin), cast(BinaryIO, self.process.stdout)
        while (request := self.requests.get()) is not None:
            try:
                wire.write(sent, *request)
                self.answers.put(wire.read(received))
            except (wire.Garbled, OSError, ValueError):
                self.answers.put(None)
                return

    def _listen(self) -> None:
        """Takes what is printed, and remembers the end of it."""
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := self.process.stderr.read1(4096):  # type: ignore[attr-defined]
                self.printed.append(chunk)

    def end(self) -> None:
        """Has its keeper end it and whatever it has started; a keeper that was disturbed is itself killed."""
        if os.name == "posix":
            self.process.send_signal(signal.SIGCONT)  # the code may have stopped it
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        self.requests.put(None)
        for thread in self.threads:
            thread.join(timeout=1)
        if not any(thread.is_alive() for thread in self.threads):
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]

    def death(self) -> tuple[str, str]:
        """Why it gives no answer any more: the reason, and what it did."""
        try:
            status = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "died", "closed or disturbed the channel that its answers come through"
        printed = b"".join(self.printed)
        if any(sign in printed for sign in (b"bad_alloc", b"MemoryError", b"Cannot allocate")):
            return "memory", "ran out of memory, and its process ended"
        if os.name == "posix":
            if status < 0:
                return "died", "killed the process that watches it"
            status = status if status <= _KILLED else _KILLED - status
        if status >= 0 or -status not in set(signal.Signals):
            return "exited", f"ended its process with exit status {abs(status)} in the middle of a call"
        return "died", f"crashed its process ({signal.Signals(-status).name}) in the middle of a call"


class Sandbox:
    """Where one target file is loaded and called; a context manager that leaves no process behind.

    >>> with Sandbox("nowhere.py") as sandbox:
    ...     sandbox.call({"op": "call"})
    Traceback (most recent call last):
    bncheck.errors.TargetFailed: nowhere.py raised FileNotFoundError: ...
    """

    def __init__(
        self,
        address: str,
        wanted: str = "",
        frameworks: tuple[str, ...] = (),
        *,
        time_limit: float = TIME_LIMIT,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        within_bounds(time_limit, memory_limit)
        self.address, self.wanted, self.frameworks = address, wanted, frameworks
        self.time_limit, self.memory_limit = time_limit, memory_limit
        self.loaded: dict[str, Any] = {}
        self.starts = 0
        self.cut_short = False  # whether a call ended at a limit, or with its process
        self._child: _Child | None = None
        self._next = 0
        self._compiled = set[str]()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child, if there is one; the next call starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def load(self) -> dict[str, Any]:
        """What the child found in the file; starts it if necessary.

        Raises
            TargetFailed: the file cannot be run.
        """
        if self._child is None:
            self.starts += 1
            self._compiled.clear()
            reserved = max((_RESERVED.get(name, 0) for name in self.frameworks), default=0)
            self._child = _Child(self.memory_limit and self.memory_limit + reserved)
            self._ask({"op": "start", "frameworks": self.frameworks}, {}, STARTUP_LIMIT)
            try:
                self.loaded, _ = self._ask({"op": "load", "address": self.address, "wanted": self.wanted}, {})
            except TargetFailed:
                self.close()
                raise
        return self.loaded

    def call(self, header: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> Frame:
        """Has one request answered by the loaded target.

        Raises
            TargetFailed: the target raised, ended its process, exceeded a limit, or gave no proper answer.
        """
        self.load()
        arrays = dict(arrays or {})
        settings = sorted((name, type(value).__name__) for name, value in header.items())
        shown = sorted((name, array.dtype.name, array.ndim) for name, array in arrays.items())
        kinds = str((header["op"], header.get("candidate"), header.get("order"), settings, shown))
        compiles = self.loaded["compiles"] and kinds not in self._compiled
        answer = self._ask(dict(header), arrays, STARTUP_LIMIT if compiles else None)
        self._compiled.add(kinds)
        return answer

    def _ask(self, header: dict[str, Any], arrays: dict[str, Array], limit: float | None = None) -> Frame:
        child = self._child
        assert child is not None
        self._next += 1
        limit = self.time_limit if limit is None else limit
        frame: Frame | None = None
        failure: tuple[object, object] | None = None
        try:
            child.requests.put(({**header, "id": self._next}, arrays))
            frame = child.answers.get(timeout=limit)
            if frame is None or frame[0].get("id") != self._next:
                failure = child.death()
        except queue.Empty:
            failure = "timeout", f"gave no answer within {limit:g} s"
        finally:  # also when interrupted: an answer that is still to come must not be taken for the next one
            if frame is None or failure:
                self.cut_short = True
                self.close()
        if frame and "failed" in frame[0]:
            failure = frame[0]["failed"], frame[0].get("words")
        if failure or not frame:
            reason, words = failure or ("died", "gave no answer")
            deliberate = bool(frame and frame[0].get("deliberate"))
            raise TargetFailed(_one_line(reason), f"{self._who(header)} {_one_line(words)}.", deliberate)
        return frame

    def _who(self, header: Mapping[str, Any]) -> str:
        """What is being called, as the person who wrote it knows it."""
        title = Address(self.address).title
        if "candidate" not in header:
            return title
        return f"{title}:{_one_line(self.loaded['candidates'][header['candidate']]['name'])}"


def _one_line(text: object) -> str:
    """Words of a target, fit to be shown: printable, and not endless."""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return shown if len(shown) <= 400 else f"{shown[:399]}…"
