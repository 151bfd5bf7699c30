"""The catalogue: bugs that people really write, a file for each family. A file that lies here is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from bncheck.bugs.catalogue.bug import Bug

_ORDER = ("paths", "gamma", "eps", "statistics", "modes", "parameters", "second_order", "effects")


def _families() -> list[str]:
    """The families in the order in which a diagnosis tries them; one that the order does not know comes last."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "bug"]
    return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


BUGS: Mapping[str, Bug] = MappingProxyType(
    {bug.id: bug for name in _families() for bug in importlib.import_module(f"{__name__}.{name}").BUGS}
)
"""Every bug of the catalogue by its id."""
