"""Equations as the literature prints them, typed by hand: what the derivation from the definition has to agree with.

`v` holds the indexed symbols by name, `total` sums over a group, `shared` over all that share a γ and β, and `m` is the
group's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import sympy as sp

Published = Callable[..., dict[str, sp.Expr]]


Total = Callable[[sp.Expr], sp.Expr]


def batch_norm(v: Any, total: Total, shared: Total, m: sp.Expr) -> dict[str, sp.Expr]:
    """The six chain-rule equations of batch norm, and of the layers that normalize other groups in the same way.

    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, section 3.
    """
    variance = v.var + v.eps
    centred = v.x - v.mean
    return {
        "dxhat": v.dy * v.gamma,
        "dvar": total(v.dxhat * centred * sp.Rational(-1, 2) * variance ** sp.Rational(-3, 2)),
        "dmean": total(v.dxhat * -1 / sp.sqrt(variance)) + v.dvar * total(-2 * centred) / m,
        "dx": v.dxhat / sp.sqrt(variance) + v.dvar * 2 * centred / m + v.dmean / m,
        "dgamma": shared(v.dy * v.xhat),
        "dbeta": shared(v.dy),
    }


def rms_norm(v: Any, total: Total, shared: Total, m: sp.Expr) -> dict[str, sp.Expr]:
    """The chain rule of RMS norm, one equation for each named step.

    Source
        Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, section 4, written for one element.
    """
    mean_square = v.mean_square + v.eps
    return {
        "dxhat": v.dy * v.gamma,
        "dmean_square": total(v.dxhat * v.x) * sp.Rational(-1, 2) * mean_square ** sp.Rational(-3, 2),
        "dx": v.dxhat / sp.sqrt(mean_square) + v.dmean_square * 2 * v.x / m,
        "dgamma": shared(v.dy * v.xhat),
    }


PUBLISHED: Mapping[str, Published] = MappingProxyType({"batch_norm": batch_norm, "rms_norm": rms_norm})
"""By the name of the definition."""
