"""What do the frameworks answer? A file that lies here *is* a framework; there is no list to keep.

It holds `FRAMEWORK`, the framework's conventions, and `SUSPECTS`, its layers, each of which answers a case as an oracle
does, `vjp(case) -> Gradients`; the package itself is imported only when one of them is used. `asking` holds what they
share.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bncheck.errors import InvalidInput
from bncheck.frameworks.asking.conventions import Framework
from bncheck.frameworks.asking.suspects import Suspect
from bncheck.layers import Layer

__all__ = ["FRAMEWORKS", "SUSPECTS", "Framework", "Suspect", "named_frameworks", "of_frameworks"]

_FILES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if not m.ispkg]

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({file.FRAMEWORK.name: file.FRAMEWORK for file in _FILES})
"""Each framework by the name that `verify --against` takes."""

SUSPECTS: tuple[Suspect, ...] = tuple(suspect for file in _FILES for suspect in file.SUSPECTS)
"""Every suspect of every framework, layer by layer."""


def named_frameworks(names: Iterable[str]) -> tuple[Framework, ...]:
    """The frameworks of these names, all of them installed.

    Raises
        InvalidInput: a name that is none of the known ones.
        MissingPackage: one of them is not installed.

    >>> named_frameworks(["pytorch"])
    Traceback (most recent call last):
    ...
    bncheck.errors.InvalidInput: against=pytorch, expected one of jax, keras, onnxruntime, torch. Did you mean torch?
    """
    names = tuple(names)
    for name in names:
        if name not in FRAMEWORKS:
            raise InvalidInput.unknown("against", name, FRAMEWORKS, "Separate several by commas.")
    return tuple(framework.required() for name, framework in FRAMEWORKS.items() if name in names)


def of_frameworks(layer: Layer, frameworks: Iterable[str]) -> list[Suspect]:
    """The suspects of a layer in these frameworks; a layer of one's own has none, whatever its name.

    Raises
        InvalidInput: an unknown framework.
        MissingPackage: one that is not installed.
    """
    names = {framework.name for framework in named_frameworks(frameworks)}
    return [suspect for suspect in SUSPECTS if suspect.layer == layer and suspect.framework in names]
