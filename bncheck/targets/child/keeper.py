"""Stands between bncheck and the process that runs somebody's code: ``python -I -S keeper.py PARENT COMMAND …``.

It starts the command, and ends everything that came of it: when the command ends, when it is told to by SIGTERM, and
when the process that asked is gone, however that ended. It alone is what `os.getppid` leads the code to. Nothing of
bncheck is imported here, for it is to be there at once.

On Linux it adopts what the code detaches from itself, a daemon in a session of its own, too, so that this ends with the
rest; from Linux 6.12 on the code can send no signal to any process that it did not start, nor read the memory of one.
Elsewhere it ends its own process group.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself would take longer to import than all the rest
    from collections.abc import Iterator
    from typing import NoReturn

_SET_DEATH_SIGNAL, _SET_ADOPTS, _SET_NO_NEW_PRIVILEGES = 1, 36, 38  # prctl
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the system calls of Landlock, the same on every architecture
_SCOPE_SIGNAL = 2

_STOP = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP"))
_LINUX = sys.platform == "linux"
_GLANCE = 500
"""Milliseconds after which it looks whether the process that asked is still there, where nothing tells it."""

_PATIENCE = 5.0
"""Seconds for what does not want to end."""


def main() -> NoReturn:
    """Runs the command, and exits with its status; 128 and the number of the signal where one ended it.

    Where it was told to end itself, it dies of a signal.
    """
    parent, command = int(sys.argv[1]), sys.argv[2:]
    stopped: list[int] = []
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for number in _STOP:
        signal.signal(number, lambda number, _: stopped.append(number))
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)  # it only wakes
    _prctl(_SET_ADOPTS, 1)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGUSR1)
    keeper, child = os.getpid(), os.fork()
    if child == 0:
        _become(command, keeper)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # the command's alone: who reads them is to see them end with it
        os.dup2(nothing, stream)
    events = select.poll()
    events.register(woken, select.POLLIN)
    status = None
    while status is None and not stopped and os.getppid() == parent:
        if events.poll(_GLANCE):
            os.read(woken, 4096)
        while status is None and (ended := _ended()):
            status = ended.get(child)
    _end_all(child)
    while status is None:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(status if status >= 0 else 128 - status)


def _become(command: list[str], keeper: int) -> NoReturn:
    """Turns into the command, which ends with its keeper and has no power over processes that it did not start."""
    try:
        _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == keeper:
            _confine()
            os.execv(command[0], command)
    finally:
        os._exit(127)


def _confine() -> None:
    """Forbids signals to other processes, and looks into them, where the system can."""
    if _LINUX:
        libc, rules = ctypes.CDLL(None), (ctypes.c_uint64 * 3)(0, 0, _SCOPE_SIGNAL)
        ruleset = libc.syscall(_CREATE_RULESET, rules, ctypes.sizeof(rules), 0)
        if ruleset >= 0 and _prctl(_SET_NO_NEW_PRIVILEGES, 1) == 0:
            libc.syscall(_RESTRICT_SELF, ruleset, 0)
            os.close(ruleset)


def _prctl(option: int, value: int) -> int:
    return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) if _LINUX else -1


def _ended() -> dict[int, int]:
    """A process that has ended, and its exit status; empty where none has.

    Raises
        ChildProcessError: none is left.
    """
    pid, status = os.waitpid(-1, os.WNOHANG)
    return {pid: os.waitstatus_to_exitcode(status)} if pid else {}


def _end_all(child: int) -> None:
    """Kills whatever came of the command, until nothing is left: the orphans of each become this process's own."""
    _kill(child)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            if not _ended():
                time.sleep(0.002)
                for pid in _descendants(os.getpid()):
                    _kill(pid)
        except ChildProcessError:
            return


def _kill(pid: int) -> None:
    try:  # noqa: SIM105  # nor contextlib
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def _descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they started, where the system has /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if _LINUX else ():  # noqa: PTH208  # nor pathlib
        try:
            with open(f"/proc/{int(name)}/stat", "rb") as stat:  # noqa: PTH123
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError):
            continue
        children.setdefault(parent, []).append(int(name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
        yield from children.get(one, [])


if __name__ == "__main__":
    main()
