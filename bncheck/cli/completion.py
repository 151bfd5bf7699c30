"""What the shell completes: commands and options by themselves, names by the list that holds them, files otherwise."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from bncheck.errors import BncheckError

LAYERS = "layers:LAYERS"
DTYPES = "formats:DTYPES"
LANGUAGES = "figures.studio.look:LANGUAGES"
"""Lists that several commands complete from."""


def listed(source: str, *, several: bool = False) -> Callable[[str], list[str]]:
    """Completes from a list of bncheck's, ``module:NAME``, imported when the shell asks; `several` go with commas.

    >>> listed("formats:DTYPES", several=True)("float64,float3")
    ['float64,float32']
    """

    def complete(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",") if several else ("", "", incomplete)
        module, _, name = source.partition(":")
        try:
            found = getattr(importlib.import_module(f"bncheck.{module}"), name)
            names = list(found() if callable(found) else found)
        except BncheckError:  # an extra is missing: the command itself will say so
            return []
        return [f"{before}{comma}{name}" for name in names if name.startswith(begun)]

    return complete
