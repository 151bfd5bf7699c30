"""Figures for lectures: one module for each, its stem the figure's name; `studio` is where they are made.

A module of this package holds `ABOUT`, the figure's words, and ``draw(look, seed, ...) -> Figure``. There is no list to
keep: a file that lies here is a figure.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bncheck.errors import InvalidInput
from bncheck.extras import need
from bncheck.figures.studio.look import About

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page


def names() -> tuple[str, ...]:
    """The names of all figures.

    >>> "graph-staged" in names()
    True
    """
    return tuple(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if not m.ispkg)


@dataclass(frozen=True)
class Plate:
    """One figure of the collection: its words, how it is drawn, and into how many frames it falls."""

    name: str
    about: About
    draw: Callable[..., Page]
    dot: Callable[..., Any] | None
    """The same graph in Graphviz's language, where the figure is one."""
    frames: Callable[..., int] | None
    """How many frames there are, where the figure is a sequence; `draw` then takes `frame`, from 1."""

    def takes(self, choice: str) -> bool:
        """Whether there is a choice: of another `layer`, of a `case`, of frameworks `against`, of other `results`."""
        return choice in self.choices

    @property
    def choices(self) -> tuple[str, ...]:
        """All that it can be asked for."""
        return tuple(inspect.signature(self.draw).parameters)


def find(name: str) -> Plate:
    """The figure of that name.

    Raises
        InvalidInput: there is none; the next step is the nearest one.
        MissingPackage: a package that figures are drawn with is not installed.

    >>> find("graph-staged").takes("layer")
    True
    """
    if name not in names():
        raise InvalidInput.unknown("figure", name, names())
    module = __getattr__(name.replace("-", "_"))
    return Plate(name, module.ABOUT, module.draw, getattr(module, "dot", None), getattr(module, "frames", None))


def __getattr__(module: str) -> Any:
    """A figure's module, for who imports it by its name."""
    if module.replace("_", "-") not in names():
        raise AttributeError(f"module {__name__!r} has no attribute {module!r}")
    need("figures")
    return importlib.import_module(f"{__name__}.{module}")
