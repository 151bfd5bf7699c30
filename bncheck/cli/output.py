"""Where a command writes: to standard output or to a file, with colours and a bar where a terminal shows them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bncheck.errors import InvalidInput
from bncheck.files import try_folder, write


@contextmanager
def destination(output: Path | None) -> Iterator[Callable[[str], Any]]:
    """Writes to standard output, or to a file that appears whole or not at all; that it can be is tried at once."""
    if output is None:
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
    yield lambda text: write(output, text)


def print_out(text: str) -> None:
    """Prints, unless the reader has seen enough, as in `| head`."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
