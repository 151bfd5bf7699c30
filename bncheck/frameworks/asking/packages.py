"""Packages that may be missing, and that are imported only when something of them is used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any


class Package:
    """A module that is imported with the first attribute that is asked of it; so a file can be listed without it.

    >>> Package("math").sqrt(4.0)
    2.0
    """

    def __init__(self, name: str, load: Callable[[str], Any] = importlib.import_module) -> None:
        self._name, self._load = name, load

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "__wrapped__":  # what looks for the function behind another need not import anything
            raise AttributeError(attribute)
        return getattr(self._load(self._name), attribute)


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None
