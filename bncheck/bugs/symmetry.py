"""Second derivatives commute: does a backward pass have the symmetric Jacobian in x that a gradient must have?

For fixed dy, dx is the gradient of Σ dy·y, so its own Jacobian in x is a Hessian. A dx that is no gradient of anything
shows there, without a reference and without its forward pass; one that is the gradient of another layer, as where γ is
missing, does not. A second-order check that differentiates the backward pass consistently sees neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.planting import bugs_of, touched
from bncheck.case import Array, Case, Vjp
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.tolerances.bounds import tolerance


@dataclass(frozen=True)
class Symmetry:
    """⟨u, H·w⟩ − ⟨w, H·u⟩ for two random directions, and how far off finite differences may have it."""

    asymmetry: float
    uncertainty: float

    @property
    def broken(self) -> bool:
        """Whether dx is certainly not a gradient."""
        return self.asymmetry > self.uncertainty


def symmetry(vjp: Vjp, case: Case, *, layer: Layer = LAYERS["batch_norm"], seed: int = 0) -> Symmetry:
    """How symmetric the Jacobian of `vjp`'s dx is on a float64 case, by central differences extrapolated to h = 0.

    Error
        The uncertainty counts the last extrapolation step four-fold, and what rounding may do to dx at these steps;
        tests/test_symmetry.py: no false alarm on any layer.

    >>> from bncheck.bugs.catalogue.bug import correct
    >>> rng = np.random.default_rng(0)
    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=rng.normal(size=(6, 3)), dy=rng.normal(size=(6, 3)))
    >>> symmetry(correct, case).broken, symmetry(BUGS["statistics-constant"].vjp, case).broken
    (False, True)
    """
    rng = np.random.default_rng(seed)
    u, w = rng.normal(size=(2, *case.x.shape))
    noise = tolerance(layer, case)["dx"].radius
    left, right = _slopes(vjp, case, w), _slopes(vjp, case, u)
    products = [float((u * a - w * b).sum()) for a, b in zip(left, right, strict=True)]
    coarse, fine = (4 * products[k] - products[k + 1] for k in (1, 0))
    best, before = fine / 3, coarse / 3
    step = _step(case)
    rounding = 4 * float(((np.abs(u) + np.abs(w)) * noise).sum()) / step
    return Symmetry(abs(best), 4 * abs(best - before) + rounding)


def revealed(layer: Layer) -> dict[str, bool]:
    """For each planted bug that is in dx alone, whether it breaks the symmetry on one ordinary case of a layer."""
    layout = layer.layouts[0]
    shape = tuple(5 if axis in layout.reduced else 3 for axis in layout.axes)
    case = Recipe(layout, shape, eps=1e-2).build(layer)
    bugs = [name for name in bugs_of(layer, case) if touched(layer, case)[name] == {"dx"}]
    return {name: symmetry(partial(BUGS[name].vjp, layer=layer), case, layer=layer).broken for name in bugs}


def _step(case: Case) -> float:
    """A step over which batch norm is smooth: small against the smallest group's spread."""
    spread = np.sqrt(case.x.var(axis=case.layout.reduced_axes) + case.eps)
    return float(spread.min()) * 1e-3


def _slopes(vjp: Vjp, case: Case, direction: Array) -> list[Array]:
    """Central differences of dx along a direction, at h, 2h and 4h."""
    steps = [_step(case) * factor for factor in (1, 2, 4)]
    found = []
    for h in steps:
        forth, back = (vjp(replace(case, x=case.x + sign * h * direction))["dx"] for sign in (1, -1))
        found.append((np.asarray(forth, dtype=np.float64) - back) / (2 * h))
    return found
