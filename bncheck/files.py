"""Files written for people: each appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bncheck.errors import InvalidInput


def write(target: Path, content: str | bytes) -> Path:
    """Writes a file in one step; a link leads to what it names, a device or a pipe is not replaced. Tells the file.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "report.txt"), "correct").read_text()
    'correct'
    """
    written = content.encode() if isinstance(content, str) else content
    place = target.resolve()
    if place.exists() and not place.is_file():
        place.write_bytes(written)
        return target
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(written)
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def try_folder(folder: Path) -> None:
    """Tries to write to a folder, with a file that has no name: nothing can stay behind.

    Raises
        OSError: it cannot be written to.
    """
    tempfile.TemporaryFile(dir=folder).close()


def opened(option: str, folder: Path) -> Path:
    """A folder that is there and can be written to; it is made where it is not.

    Raises
        InvalidInput: it cannot; `option` is what named it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_folder(folder)
    except OSError as error:
        constraint = f"a folder that can be written; {error.strerror}"
        raise InvalidInput(option, str(folder), constraint, "Choose another.") from error
    return folder
