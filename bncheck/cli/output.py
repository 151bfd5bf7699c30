"""Where a command writes: to standard output or to a file, with colours and a bar where a terminal shows them."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bncheck.errors import BncheckError, InvalidInput
from bncheck.files import try_folder, write

STANDARD = "standard output"


def open_streams() -> None:
    """Puts something in the place of standard streams that are closed, so that no other file can come to be there.

    Nothing can be written to it: who tries is told.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115  # for good
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may lack Greek letters


@contextmanager
def destination(output: Path | None) -> Iterator[Callable[[str], Any]]:
    """Writes to standard output, or to a file that appears whole or not at all; that it can be is tried at once."""
    if output is None:
        try:
            with suppress(io.UnsupportedOperation):  # what is no file can be written to
                os.write(sys.stdout.fileno(), b"")
        except OSError as error:
            raise Unwritten(STANDARD, error) from error
        yield print_out
        return
    if output.is_dir():
        raise InvalidInput("output", str(output), "a file, not a folder", f"{output / 'report.txt'}, for example.")
    folder = output.resolve().parent
    if output.is_file() or not output.exists():
        try:
            try_folder(folder)
        except OSError as error:
            constraint = f"a file that can be written; {error.strerror} in {folder}"
            raise InvalidInput("output", str(output), constraint, "Create the folder, or choose another.") from error
    yield lambda text: _write(output, text)


class Unwritten(BncheckError):
    """A report that could not be written where it was to go."""

    def __init__(self, place: str, error: OSError) -> None:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
        super().__init__(f"The report could not be written to {place}: {reason}. Write it elsewhere.")


def _write(output: Path, text: str) -> None:
    try:
        write(output, text)
    except OSError as error:
        raise Unwritten(str(output), error) from error


def print_out(text: str) -> None:
    """Prints, unless the reader has seen enough, as in `| head`."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        raise Unwritten(STANDARD, error) from error


def silence(stream: Any) -> None:
    """Leads a stream that cannot be written to nowhere, so that what is left in it is no error when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def coloured(choice: str, stream: Any) -> bool:
    """Whether a stream is to be coloured, for auto, always or never."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def progress(color: str, work: str = "verifying") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where that is a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, no_color=not coloured(color, sys.stderr))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(work, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
