"""What rounding may do to an answer: a layer's formulas on midpoint-radius arrays, and the truth they enclose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bncheck.case import Case, Enclosure
from bncheck.formats import Format, working
from bncheck.layers import Layer
from bncheck.oracles import symbolic
from bncheck.tolerances.intervals import Radius


def tolerance(layer: Layer, case: Case, rounds_once: Collection[str] = ()) -> dict[str, Radius]:
    """What a stable implementation may return: the definition and the closed form on midpoint-radius arrays.

    Every operation may round to the case's dtype. In a half type, the results named in `rounds_once` are those that an
    implementation computes in float32 and rounds to the half type only at the end: they may be off by that one
    rounding, and by what rounding in float32 can do.

    Returns
        y and each gradient by name, in the case's shapes; see `bncheck.tolerances.intervals.Radius`.

    Error
        tests/test_tolerance.py: never exceeded by the compiled gradient in a thousand cases of each dtype, wider than
        Arb's own radius, and within 100 roundoffs of the gradient's scale on well-conditioned data with m ≤ 64 (16 in
        bfloat16), or 1.1 for what is rounded once.
    """
    stored, wide = Format.of(case.dtype), Format.of(working(case.dtype))
    if stored == wide or not rounds_once:
        return radii(layer, case, stored)
    careful = {name: radius.rounded_to(stored) for name, radius in radii(layer, case, wide).items()}
    if set(careful) <= set(rounds_once):
        return careful
    return {n: careful[n] if n in rounds_once else radius for n, radius in radii(layer, case, stored).items()}


def radii(layer: Layer, case: Case, fmt: Format) -> dict[str, Radius]:
    """What the layer answers where every operation rounds to one format, in the case's shapes."""
    known = enclosed(layer, case, fmt)
    answered = (*layer.returned(known), *case.gradient_names)
    return {name: known[name].reshape(case.shape_of(name)) for name in answered}


def enclosed(layer: Layer, case: Case, fmt: Format, **instead: Any) -> dict[str, Any]:
    """Every named value and gradient on midpoint-radius arrays; `instead` names inputs that are intervals already."""
    axes = case.layout.reduced_axes

    def exact(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: Radius.exact(v, fmt) if isinstance(v, np.ndarray) else v for name, v in values.items()}

    given = exact(case.given()) | {name: value for name, value in instead.items() if name != "x"}
    x = instead.get("x", Radius.exact(case.x, fmt))
    upstream = exact(case.broadcast_upstream())
    return symbolic.run(layer, case, x, upstream, given, mean=lambda a: a.mean(axes), sqrt=np.sqrt)


def computed_truth(layer: Layer, case: Case) -> dict[str, Enclosure]:
    """The truth at NumPy's speed: the closed form in float64, as wide as its tolerance."""
    return truth_of(radii(layer, case, Format.of(np.float64)))


def truth_of(known: Mapping[str, Radius]) -> dict[str, Enclosure]:
    """Midpoint-radius arrays as enclosures of the truth."""
    return {name: Enclosure(r.midpoint, np.zeros_like(r.midpoint), r.radius) for name, r in known.items()}
