"""What lies beyond the light core: which packages each extra brings is told by pyproject.toml alone, what for by this.

`check`, `derive`, `explain`, `explore` and the pytest plugin need only what is always installed. Whatever needs more
asks for its extra at its door, before it begins.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from types import MappingProxyType

from bncheck.errors import MissingPackage
from bncheck.version import __version__

PURPOSES = MappingProxyType(
    {
        "figures": "drawings",
        "campaign": "verify, and cases that Hypothesis draws",
        "train": "training networks",
        "torch": "checking torch",
        "jax": "checking JAX and Flax",
        "keras": "checking Keras",
        "onnx": "checking ONNX Runtime",
    }
)
"""What each extra is for, but for those of developers."""


@cache
def required() -> Mapping[str, tuple[str, ...]]:
    """The packages that bncheck needs, by extra; those that are always installed under ''.

    >>> "numpy" in required()[""], "matplotlib" in required()["figures"]
    (True, True)
    """
    found: dict[str, tuple[str, ...]] = {}
    try:
        lines = metadata.requires("bncheck") or ()
    except metadata.PackageNotFoundError:  # a source tree that was not installed
        lines = ()
    for line in lines:
        package, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)", line)
        name = extra[1] if extra else ""
        if package and package[0] != "bncheck":
            found[name] = (*found.get(name, ()), package[0])
    return found


def version(package: str) -> str | None:
    """The version of a package that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _providers() -> Mapping[str, Sequence[str]]:
    return metadata.packages_distributions()


def providing(module: str) -> tuple[str, ...]:
    """The packages that a module comes from, none if it is not installed.

    >>> providing("numpy")
    ('numpy',)
    """
    return tuple(sorted(set(_providers().get(module, ()))))


def versions(*packages: str) -> dict[str, str]:
    """The versions of bncheck, Python and NumPy, on which numbers depend, and of further packages."""
    told = {name: version(name) or "none" for name in ("numpy", *packages)}
    return {"bncheck": __version__, "python": ".".join(platform.python_version_tuple()[:2]), **told}


def need(extra: str) -> None:
    """Refuses what has to do with an extra of which a package is missing.

    Raises
        MissingPackage: it is not installed; the text holds the command that installs it.
    """
    for package in required().get(extra, ()):
        if version(package) is None:
            raise MissingPackage(package, extra, PURPOSES[extra])
