"""Runs somebody's file, or imports a module, where it lives. Only the process of a target imports this.

A file inside a package is imported as its package does it, so that relative imports work. What was compiled before is
not used: only what the sources say now is checked.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from importlib import machinery
from importlib.abc import PathEntryFinder
from pathlib import Path
from types import CodeType, ModuleType

from bncheck.targets.child.failures import failure, is_library
from bncheck.targets.child.notebooks import run_cells
from bncheck.targets.child.stand_ins import without_cupy


def load(address: str) -> tuple[ModuleType, list[str]]:
    """Runs a Python file or a notebook, or imports a module; and remarks on what was amiss with that.

    Leaves no bytecode behind, and uses none of a project's.
    """
    remarks: list[str] = []
    sys.path_hooks.insert(0, _from_source)
    sys.path_importer_cache.clear()
    if not address.endswith((".py", ".ipynb")):
        sys.path.insert(0, "")
        return without_cupy(lambda: importlib.import_module(address), remarks), remarks
    path = Path(address).resolve()
    if address.endswith(".ipynb"):
        module = _bare(path)
        os.chdir(path.parent)  # as Jupyter does
        return module, run_cells(path, module)
    root, name = _place(path)
    if not name:
        return without_cupy(lambda: _alone(path), remarks), remarks
    sys.path[:0] = [str(root), ""]
    sys.path.append(str(path.parent))  # last, lest a file of the package be taken for another of its name
    try:
        module = without_cupy(lambda: importlib.import_module(name), remarks)
    except Exception as error:
        if _is_at_fault(path, error):
            raise
        amiss = f"its package {failure(error)['words']}"
        try:
            module = without_cupy(lambda: _alone(path), remarks)
        except Exception:
            raise error from None  # the package's is the first cause
    else:
        if os.path.realpath(module.__file__ or "") == str(path):
            return module, remarks
        amiss = f"another {name.partition('.')[0]} is imported in its package's place"
        module = without_cupy(lambda: _alone(path), remarks)
    return module, [*remarks, f"{amiss}; the file was run by itself"]


def _place(path: Path) -> tuple[Path, str]:
    """The folder above the topmost package that a file is in, and its dotted name from there, or "" if it is in none.

    Where no ``__init__`` says so, relative imports tell how many folders belong together.
    """
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []  # running it says why
    above = max((node.level for node in nodes if isinstance(node, ast.ImportFrom)), default=0)
    root, parts = path.parent, list[str]()
    while (root / "__init__.py").is_file() or (above > 0 and root != root.parent):
        root, parts, above = root.parent, [root.name, *parts], above - 1
    if path.name != "__init__.py" and parts:
        parts.append(path.stem)
    return root, ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _is_at_fault(path: Path, error: BaseException) -> bool:
    """Whether an exception came from a file, or from what it imports."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return str(path) in (*files, getattr(error, "filename", None))


def _alone(path: Path) -> ModuleType:
    """Runs a file as a module of its own, beside which others may be imported."""
    module = _bare(path)
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    return module


def _bare(path: Path) -> ModuleType:
    """An empty module for a file; its folder and the current one are looked in for imports."""
    sys.path[:0] = [str(path.parent), ""]
    module = ModuleType(path.stem if path.stem not in sys.modules else f"_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    return module


class _Source(machinery.SourceFileLoader):
    """Compiles what the source says now, whatever was compiled before."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


_of_project = machinery.FileFinder.path_hook(
    (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
    (_Source, machinery.SOURCE_SUFFIXES),
    (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
)


def _from_source(folder: str) -> PathEntryFinder:
    """How modules are found in a folder of somebody's project; in others, as ever."""
    if is_library(folder or str(Path.cwd())):
        raise ImportError
    return _of_project(folder)
