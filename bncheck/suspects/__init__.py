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
from bncheck.formats import Format, working
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
    """Somebody's implementation of one layer, the package it lives in, and which cases it takes.

    `rounds_once` names the results that it computes in float32 where a case has a half type, and rounds at the end.
    """

    name: str
    vjp: Callable[[Case], Gradients]
    layer: str = ""
    package: str = ""
    takes: Callable[[Case], bool] = _every
    known: Finding | None = None
    rounds_once: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether its package can be imported."""
        return not self.package or importlib.util.find_spec(self.package) is not None


def _torch(
    layer: str,
    takes: Callable[[Case], bool] = _every,
    known: Finding | None = None,
    rounds_once: tuple[str, ...] = (),
) -> Suspect:
    def vjp(case: Case) -> Gradients:
        from bncheck.suspects import torch

        call: Callable[[Case], Gradients] = getattr(torch, layer)
        return call(case)

    return Suspect(f"torch.nn.functional.{layer}", vjp, layer, "torch", takes, known, rounds_once)


def _several_values(case: Case) -> bool:
    return case.count > 1  # torch refuses to normalize a single value


def _cube_underflows(case: Case) -> bool:
    """1e13 in float32, in which half types are computed, and 1e103 in float64."""
    largest, normal = float(np.abs(case.x).max()), Format.of(working(case.dtype)).normal
    return bool(largest > normal ** (-1 / 3))


SUSPECTS: Mapping[str, Suspect] = MappingProxyType(
    {
        suspect.name: suspect
        for suspect in (
            _torch("batch_norm", _several_values, rounds_once=("dbeta",)),
            _torch("layer_norm", rounds_once=("y",)),
            _torch("instance_norm", _several_values),
            _torch("group_norm", lambda case: case.x[0, 0].size * case.x.shape[0] > 1, rounds_once=("y", "dbeta")),
            _torch(
                "rms_norm",
                known=Finding("its backward cubes 1/rms, which underflows for large x (torch 2.13)", _cube_underflows),
                rounds_once=("y", "dx", "dgamma"),
            ),
        )
    }
)


def installed_for(layer: Layer) -> list[Suspect]:
    """The suspects of a layer whose package is installed; a layer of one's own has none, whatever its name."""
    if LAYERS.get(layer.name) != layer:
        return []
    return [suspect for suspect in SUSPECTS.values() if suspect.layer == layer.name and suspect.installed]
