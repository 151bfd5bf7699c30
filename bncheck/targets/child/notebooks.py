"""Runs the code cells of a Jupyter notebook one after the other, as far as each of them goes."""

from __future__ import annotations

import json
import linecache
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from bncheck.targets.child.failures import cell_name, failure
from bncheck.targets.child.stand_ins import Silent, without_cupy, without_ipython

_MAGIC = re.compile(r"\s*[%!?]|.*\?\s*$|\s*[\w, ]+=\s*[%!]")
_TIMED = re.compile(r"(\s*)%time\s+(?!-)(.*)")
_AROUND_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def run_cells(path: Path, module: ModuleType) -> list[str]:
    """Runs a notebook's cells in a module, and says which of them raised what; those after them run all the same."""
    without_ipython()
    vars(module).update(get_ipython=Silent(), display=Silent())
    remarks: list[str] = []
    for number, source in enumerate(_cells(path), start=1):
        name = cell_name(path, number)
        text = python(source)
        linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name  # so that its source can be read

        def run(text: str = text, name: str = name) -> None:
            exec(compile(text, name, "exec"), vars(module))

        try:
            without_cupy(run, remarks)
        except (Exception, SystemExit) as error:
            remarks.append(f"cell {number} {failure(error)['words'].replace(f'cell {number}, ', '')}")
    return remarks


def _cells(path: Path) -> Iterator[str]:
    """The source of each code cell, in order.

    Raises
        ValueError: it is no notebook of Python's.
    """
    try:
        notebook = json.loads(path.read_bytes())
        language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
        sheets = notebook.get("worksheets", [notebook])  # as there were up to version 3
        cells = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
        sources = [cell["source"] if "source" in cell else cell["input"] for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("it is no Jupyter notebook") from None
    if language.lower() != "python":
        raise ValueError(f"it is a notebook of {language}, not of Python")
    return ("".join(source) for source in sources)


def python(source: str) -> str:
    r"""A cell without what only IPython understands: lines at which Python finds fault and that look like a magic.

    >>> print(python("%matplotlib inline\nfor k in range(3):\n    !echo $k\n%time x = 5\ny = (7\n% 4)"))
    pass
    for k in range(3):
        pass
    x = 5
    y = (7
    % 4)
    """
    lines = source.splitlines()
    first = next((k for k, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].startswith("%%"):
        if not lines[first].startswith(_AROUND_PYTHON):
            return ""  # a cell in another language
        lines[first] = ""
    for _ in source.splitlines():
        try:
            compile("\n".join(lines), "", "exec")
        except (SyntaxError, ValueError) as error:
            k = (getattr(error, "lineno", 0) or 0) - 1
            if not 0 <= k < len(lines) or not _MAGIC.match(lines[k]):
                break
            line, after = lines[k], k
            while lines[after].endswith("\\") and after + 1 < len(lines):  # a command to the shell may go on
                after += 1
            lines[k + 1 : after + 1] = [""] * (after - k)
            timed = _TIMED.match(line)
            lines[k] = timed[1] + timed[2] if timed else f"{line[: len(line) - len(line.lstrip())]}pass"
        else:
            break
    return "\n".join(lines)
