"""How to call other people's code: each suspect answers a case as an oracle does, `vjp(case) -> Gradients`.

A framework is imported only when one of its suspects is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bncheck.case import Case, Gradients


@dataclass(frozen=True)
class Suspect:
    """Somebody's implementation of one layer, and which cases it takes."""

    name: str
    layer: str
    package: str
    vjp: Callable[[Case], Gradients]
    takes: Callable[[Case], bool]

    @property
    def installed(self) -> bool:
        """Whether its package can be imported."""
        return importlib.util.find_spec(self.package) is not None


def _torch_batch_norm(case: Case) -> Gradients:
    from bncheck.suspects import torch

    return torch.batch_norm(case)


SUSPECTS: Mapping[str, Suspect] = MappingProxyType(
    {
        suspect.name: suspect
        for suspect in (
            Suspect(
                "torch.nn.functional.batch_norm",
                "batch_norm",
                "torch",
                _torch_batch_norm,
                lambda case: case.count > 1,  # torch refuses to normalise a single value
            ),
        )
    }
)


def installed_for(layer: str) -> list[Suspect]:
    """The suspects of a layer whose package is installed."""
    return [suspect for suspect in SUSPECTS.values() if suspect.layer == layer and suspect.installed]
