"""Runs somebody's file, or imports a module. Only the child process imports this."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def load(address: str) -> ModuleType:
    """Runs a Python file, or imports a module, and leaves no bytecode behind."""
    if not address.endswith(".py"):
        sys.path.insert(0, "")
        return importlib.import_module(address)
    path = Path(address).resolve()
    sys.path.insert(0, str(path.parent))
    module = ModuleType(path.stem if path.stem not in sys.modules else f"_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    return module
