"""Runs a command line: errors to one line each, and the exit status.

Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed, an internal error, or the report could not be
written, 4 nothing could be concluded, 5 right as far as asked but not everything was asked; 130 interrupted, 143
terminated, 129 hung up.
"""

from __future__ import annotations

import _thread
import atexit
import errno
import os
import signal
import sys
import threading
from typing import Any

import typer

from bncheck.cli import check, derive, doctor, explain, explore, figures, grade, merge, train, verify  # noqa: F401  # hang their commands on the program
from bncheck.cli.app import app
from bncheck.cli.output import STANDARD, Unwritten, open_streams, silence
from bncheck.errors import BncheckError, InvalidInput


class _Ended(KeyboardInterrupt):
    """An interruption by a signal other than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


_ENDED = {"SIGTERM": "terminated", "SIGHUP": "hung up"}

_ClickError: Any = typer.BadParameter.__mro__[2]  # click's, or typer's own copy of it


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its status."""
    sys.unraisablehook = _interrupt_again
    open_streams()
    if "_BNCHECK_COMPLETE" in os.environ:  # the shell asks how a line may go on
        app(prog_name="bncheck")
    for name in _ENDED:
        number = getattr(signal, name, None)  # there is no hanging up on Windows
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)
    status = run(sys.argv[1:] if arguments is None else arguments)
    if status > _SIGNALLED:  # which Python itself, had Ctrl-C come within an `exec`, would turn into a signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        atexit._run_exitfuncs()
        os._exit(status)
    sys.exit(status)


_SIGNALLED = 128
"""What the exit status exceeds where a signal ended the work: by the number of the signal."""


def _end(number: int, frame: object) -> None:
    raise _Ended(number)


def _interrupt_again(dropped: Any) -> None:
    """Python drops an exception that is raised within a garbage collection; Ctrl-C must not get lost there."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        number = getattr(dropped.exc_value, "number", signal.SIGINT)
        again: Any = getattr(signal, "pthread_kill", lambda *_: _thread.interrupt_main())  # not on Windows
        threading.Timer(0.01, again, (threading.main_thread().ident, number)).start()
    else:
        sys.__unraisablehook__(dropped)


def run(arguments: list[str]) -> int:
    """The exit status of a command line; every failure is one line on standard error."""
    command: Any = typer.main.get_command(app)
    asked = " ".join(["bncheck", *(name for name in arguments[:1] if name in command.commands)])
    hint = f"Try '{asked} --help'."
    try:
        with command.make_context("bncheck", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort) as interruption:
        return _interrupted(interruption)
    except Unwritten as error:
        return _fail(str(error), 3)
    except BncheckError as error:
        return _fail(str(error) if _has_next_step(error) else f"{error} {hint}", 2)
    except BrokenPipeError:
        silence(sys.stdout)
        return 0
    except _ClickError as error:
        message = error.format_message().strip()
        return _fail(f"{message}{'' if message.endswith(('.', '?')) else '.'} {hint}", 2)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # as Python raises what comes while a class is made
            return _interrupted(error.__cause__)
        if os.environ.get("BNCHECK_TRACEBACK"):
            raise
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):  # Hypothesis found several ways to fail
            cause = cause.exceptions[0]
        if isinstance(cause, BncheckError):
            return _fail(str(cause), 2)
        if isinstance(cause, OSError) and cause.filename is None and cause.errno in _NO_PLACE:
            silence(sys.stdout)
            return _fail(str(Unwritten(STANDARD, cause)), 3)
        told = f"{type(cause).__name__}: {cause}".rstrip(".")
        return _fail(f"internal error, {told}. Set BNCHECK_TRACEBACK=1 for its traceback.", 3)
    return 0


def _interrupted(interruption: BaseException) -> int:
    number = signal.Signals(getattr(interruption, "number", signal.SIGINT))
    said = [_ENDED.get(number.name, "interrupted"), *getattr(interruption, "__notes__", [])]
    return _fail(". ".join(said), _SIGNALLED + number)


_NO_PLACE = (errno.EBADF, errno.EIO, errno.ENOSPC)
"""What is amiss where standard output cannot be written to."""


def _has_next_step(error: BncheckError) -> bool:
    return not isinstance(error, InvalidInput) or bool(error.fields[-1])


def _fail(message: str, status: int) -> int:
    printable = "".join(c if c.isprintable() else " " for c in message)
    try:
        print(f"bncheck: {' '.join(printable.split())}", file=sys.stderr, flush=True)
    except OSError:  # nobody hears it; the status tells
        silence(sys.stderr)
    return status
