"""What somebody's code raised, in words: one for the reason, one line, and where it was raised."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from bncheck.errors import UNFINISHED
from bncheck.targets.child.families import NoGradient
from bncheck.targets.child.roles import Unbound

_CELL = re.compile(r"\.ipynb, (cell \d+)$")
_LIBRARIES = frozenset(os.path.realpath(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib"))


class NoAnswer(Exception):
    """What the code returned is not what was asked for."""


def cell_name(path: Path, number: int) -> str:
    """The name under which a notebook's cell is compiled, by which its lines are told from those of the others."""
    return f"{path}, cell {number}"


def failure(error: BaseException, *files: str) -> dict[str, Any]:
    """An exception as an answer: one word for the reason, one line, and where in some files it was raised."""
    try:
        told = " ".join(str(error).split())[:300]
    except BaseException:  # even its text may be hostile
        told = "its message cannot be read"
    frames = traceback.extract_tb(error.__traceback__)
    where = next((place for frame in reversed(frames) if (place := _place(frame.filename, frame.lineno, files))), "")
    if isinstance(error, MemoryError):
        return {"failed": "memory", "words": f"ran out of memory{where}"}
    if isinstance(error, SystemExit):
        return {"failed": "exited", "words": f"called sys.exit({told}){where}"}
    if isinstance(error, Unbound):
        return {"failed": "raised", "words": f"asks for an argument {told} of a name that bncheck does not know"}
    if isinstance(error, NoGradient):
        return {"failed": "no gradient", "words": "is not differentiable: its output is cut off from its input"}
    if isinstance(error, NoAnswer):
        return {"failed": "answer", "words": told}
    if isinstance(error, NotImplementedError) and frames and _is_somebodys(frames[-1]):
        return {"failed": UNFINISHED, "words": f"is not written yet: it raises NotImplementedError{where}"}
    if isinstance(error, SyntaxError) and error.lineno:
        where = _place(error.filename or "", error.lineno, files) or f" (line {error.lineno})"
        told = str(error.msg)
    words = f"raised {type(error).__name__}{f': {told}' if told else ''}{where}"
    advice = ": install it, or run from the folder that holds it" if isinstance(error, ModuleNotFoundError) else ""
    return {"failed": "raised", "words": words + advice}


def is_library(path: str) -> bool:
    """Whether a path is Python's own or an installed package's, rather than somebody's project."""
    real = os.path.realpath(path)
    installed = {"site-packages", "dist-packages"} & set(Path(real).parts)
    return bool(installed) or any(real == root or real.startswith(root + os.sep) for root in _LIBRARIES)


def _is_somebodys(frame: traceback.FrameSummary) -> bool:
    """Whether code that a person left unfinished raised: their own, or torch's word for a missing forward."""
    return not is_library(frame.filename) or frame.name == "_forward_unimplemented"


def _place(filename: str, line: int | None, files: tuple[str, ...]) -> str:
    """A line of one of the files, or of a notebook's cell; "" for a line of another file."""
    if cell := _CELL.search(filename):
        return f" ({cell[1]}, line {line})"
    same = filename in files or os.path.realpath(filename) in map(os.path.realpath, files)
    return f" (line {line})" if same else ""
