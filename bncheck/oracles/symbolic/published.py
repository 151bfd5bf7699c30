"""Equations as the literature prints them, typed by hand: what the derivation from the definition has to agree with.

`v` holds the indexed symbols by name, `total` sums over a group, and `m` is the group's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import sympy as sp

Published = Callable[..., dict[str, sp.Expr]]


def batch_norm(v: Any, total: Callable[[sp.Expr], sp.Expr], m: sp.Expr) -> dict[str, sp.Expr]:
    """The six chain-rule equations of batch norm.

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
        "dgamma": total(v.dy * v.xhat),
        "dbeta": total(v.dy),
    }


PUBLISHED: Mapping[str, Published] = MappingProxyType({"batch_norm": batch_norm})
