"""What takes the place of packages that a target imports and that need not be there to check it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

_Answer = TypeVar("_Answer")

NUMPY_FOR_CUPY = "cupy is not installed: NumPy took its place"


class Silent:
    """Takes every call, and has every attribute; nothing comes of it."""

    def __call__(self, *arguments: Any, **named: Any) -> Silent:  # noqa: D102  # the class speaks for it
        return self

    def __getattr__(self, name: str) -> Silent:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *raised: object) -> None:
        pass


class _StandIn(ModuleType):
    """A module in the place of another: its names are given, and otherwise those of something else."""

    def __init__(self, name: str, otherwise: object, **names: Any) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__dict__.update(names)
        self.__dict__["_otherwise"] = otherwise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_otherwise"], name)


def without_cupy(run: Callable[[], _Answer], remarks: list[str]) -> _Answer:
    """Runs something; and once more, with NumPy in CuPy's place, where it needs CuPy and there is none."""
    try:
        return run()
    except ModuleNotFoundError as error:
        if error.name not in ("cupy", "cupyx"):
            raise
    cuda = _StandIn("cupy.cuda", Silent(), is_available=lambda: False)
    of_cupy: dict[str, Any] = {
        "asnumpy": lambda a, *_, **__: np.asarray(a),
        "get_array_module": lambda *_: np,
        "get_default_memory_pool": Silent(),
        "get_default_pinned_memory_pool": Silent(),
        "cuda": cuda,
        "linalg": np.linalg,
        "random": np.random,
    }
    sys.modules["cupy"] = _StandIn("cupy", np, **of_cupy)
    sys.modules |= {f"cupy.{name}": of_cupy[name] for name in ("cuda", "linalg", "random")}
    sys.modules["cupyx"] = _StandIn("cupyx", Silent())
    remarks.append(NUMPY_FOR_CUPY)
    return run()


def without_ipython() -> None:
    """Puts something silent in IPython's place where that is not installed: a notebook imports it to show things."""
    if importlib.util.find_spec("IPython") is None:
        for name in ("IPython", "IPython.display"):
            sys.modules[name] = _StandIn(name, Silent())
