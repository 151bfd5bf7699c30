"""The sizes of probes, axis by axis, stated once: no two axes that a bug could confuse are as long as each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bncheck.case import Layout

Sizes = Mapping[str, int]

TELLING: Sizes = MappingProxyType({"N": 6, "C": 4, "L": 3, "D": 5, "H": 2, "W": 3, "G": 4, "K": 5})
"""On which no two bugs of the catalogue look alike."""

FEW: Sizes = MappingProxyType({"N": 5, "C": 3, "L": 4, "D": 6, "H": 4, "W": 2, "G": 2, "K": 3})
"""Small enough for the range of half precision."""

MANY: Sizes = MappingProxyType({"N": 32, "C": 5, "L": 6, "D": 32, "H": 6, "W": 5, "G": 3, "K": 4})
"""As many samples as in ordinary use."""

TRIAL: Sizes = MappingProxyType({"N": 8, "C": 3, "L": 4, "D": 5, "H": 4, "W": 7, "G": 2, "K": 3})
"""On which a target shows which of its axes is which: no axis of a layout is as long as another."""

EVEN: Sizes = MappingProxyType({"N": 4, "C": 2, "L": 4, "D": 4, "H": 2, "W": 2, "G": 2, "K": 2})
"""On which elements ±a have a mean of exactly 0, and a mean square that is exact."""

BATCHES: Sizes = MappingProxyType({"N": 7, "C": 4, "L": 3, "D": 2, "H": 2, "W": 3})
"""A batch out of several that follow each other."""


def shape_of(
    layout: Layout, usual: Sizes, fixed: Sizes = MappingProxyType({}), *, distinct: bool = False
) -> tuple[int, ...]:
    """The shape of x on a layout; `fixed` are the sizes that somebody insists on.

    With `distinct`, never as many samples as channels: a wrong axis might look right.

    An axis of a letter that no layout of bncheck's has is as long as its place tells.

    >>> shape_of(Layout("NC", "N", "C"), TELLING), shape_of(Layout("NC", "N", "C"), TELLING, {"C": 6}, distinct=True)
    ((6, 4), (8, 6))
    >>> shape_of(Layout("BT", "T", "T"), TELLING)
    (3, 4)
    """
    sizes = {axis: usual.get(axis, 3 + k) for k, axis in enumerate(layout.axes)} | dict(fixed)
    if distinct and sizes.get("N", 0) == sizes.get("C"):
        sizes["N"] += 2
    return tuple(sizes[axis] for axis in layout.axes)


def fewer(size: int) -> int:
    """Another number of samples, so that counts that coincide with one differ with the other."""
    return size // 2 if size > 3 else size + 2
