"""Probes: cases on which no two bugs look alike, so that an answer tells which it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bncheck.case import Case, Layout
from bncheck.inputs.recipes import completed
from bncheck.inputs.sizes import FEW, TELLING, shape_of
from bncheck.layers import Layer

FAR = "far from zero"
"""The origin of a probe on which only stability is asked."""

_OTHER_EPS = 0.64  # of the first: a constant that stands for ε is told from a multiple of it


def probes(
    layer: Layer,
    layout: Layout | None = None,
    shapes: Sequence[tuple[int, ...]] = (),
    *,
    dtype: str = "float64",
    eps: float = 0.5,
    seed: int = 0,
) -> tuple[Case, ...]:
    """Two cases near zero, in two shapes and with two ε, and one far from it, where an unstable formula shows.

    Variances lie below eps and above it, γ is random, and sizes that coincide in one shape differ in the other.

    >>> from bncheck.layers import LAYERS
    >>> [case.x.shape for case in probes(LAYERS["batch_norm"])]
    [(6, 4), (5, 3), (6, 4)]
    """
    layout = layout or layer.layouts[0]
    shapes = shapes or [shape_of(layout, sizes) for sizes in (TELLING, FEW)]
    rng = np.random.default_rng(seed)
    near = []
    for shape, own_eps, ddof in ((shapes[0], eps, 0), (shapes[-1], _OTHER_EPS * eps, 1)):
        width = [size if k not in layout.reduced_axes else 1 for k, size in enumerate(shape)]
        spread = np.sqrt(own_eps) * np.exp(rng.uniform(-1.5, 1.5, size=width))
        spread.flat[0], spread.flat[-1] = 0.4 * np.sqrt(own_eps), 2 * np.sqrt(own_eps)
        x = (rng.standard_normal(shape) + rng.normal(size=width)) * spread
        case = completed(x.astype(dtype), layer, layout, rng, own_eps, "diagnosis")
        may = "ddof" in case.settings and case.count > 1
        near.append(replace(case, settings={**case.settings, "ddof": ddof}) if may else case)
    far = (rng.standard_normal(shapes[0]) + 1000).astype(dtype)
    return (*near, completed(far, layer, layout, rng, eps, FAR))
