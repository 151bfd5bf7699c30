"""How to call other people's code: each suspect answers a case as an oracle does, `vjp(case) -> Gradients`.

A framework is imported only when one of its suspects is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bncheck.case import Case, Gradients
from bncheck.layers import LAYERS, Layer


def _every(case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Finding:
    """Something really amiss in somebody's code, found by bncheck and kept here instead of a looser tolerance."""

    words: str
    shows: Callable[[Case], bool]


@dataclass(frozen=True)
class Suspect:
    """Somebody's implementation of one layer, the package it lives in, and which cases it takes."""

    name: str
    vjp: Callable[[Case], Gradients]
    layer: str = ""
    package: str = ""
    takes: Callable[[Case], bool] = _every
    known: Finding | None = None

    @property
    def installed(self) -> bool:
        """Whether its package can be imported."""
        return not self.package or importlib.util.find_spec(self.package) is not None


def _torch(layer: str, takes: Callable[[Case], bool] = _every, known: Finding | None = None) -> Suspect:
    def vjp(case: Case) -> Gradients:
        from bncheck.suspects import torch

        call: Callable[[Case], Gradients] = getattr(torch, layer)
        return call(case)

    return Suspect(f"torch.nn.functional.{layer}", vjp, layer, "torch", takes, known)


def _several_values(case: Case) -> bool:
    return case.count > 1  # torch refuses to normalize a single value


def _cube_underflows(case: Case) -> bool:
    """1e14 in float32, 1e103 in float64."""
    return bool(np.abs(case.x).max() > float(np.finfo(case.dtype).tiny) ** (-1 / 3))


SUSPECTS: Mapping[str, Suspect] = MappingProxyType(
    {
        suspect.name: suspect
        for suspect in (
            _torch("batch_norm", _several_values),
            _torch("layer_norm"),
            _torch("instance_norm", _several_values),
            _torch("group_norm", lambda case: case.x[0, 0].size * case.x.shape[0] > 1),
            _torch(
                "rms_norm",
                known=Finding("its backward cubes 1/rms, which underflows for large x (torch 2.13)", _cube_underflows),
            ),
        )
    }
)


def installed_for(layer: Layer) -> list[Suspect]:
    """The suspects of a layer whose package is installed; a layer of one's own has none, whatever its name."""
    if LAYERS.get(layer.name) != layer:
        return []
    return [suspect for suspect in SUSPECTS.values() if suspect.layer == layer.name and suspect.installed]
