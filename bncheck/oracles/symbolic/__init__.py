"""The symbolic oracle: SymPy derives the gradients, proves their forms equal, and lowers them to NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from bncheck.case import Case, Gradients
from bncheck.layers import Layer
from bncheck.oracles.symbolic.lowering import lower


def vjp(layer: Layer, case: Case) -> Gradients:
    """y and every gradient of one case, by the compiled closed form, in the case's dtype.

    Half types are computed in float32, and every result is rounded once.

    Error
        Within `bncheck.tolerance` of the truth; tests/test_tolerance.py holds it there.

    >>> import numpy as np
    >>> from bncheck.layers import LAYERS
    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> vjp(LAYERS["batch_norm"], case)["dx"].ravel() * 2**1.5
    array([ 0.5, -0.5])
    """
    axes, wide = case.layout.reduced_axes, case.widened()
    mean, sqrt = (lambda a: np.mean(a, axis=axes, keepdims=True)), np.sqrt
    with np.errstate(all="ignore"):
        known = run(layer, wide, wide.x, wide.broadcast_upstream(), wide.given(), mean=mean, sqrt=sqrt)
    answered = (*layer.returned(known), *case.gradient_names)
    return case.answered({name: known[name] for name in answered})


def run(
    layer: Layer, case: Case, x: Any, upstream: dict[str, Any], given: dict[str, Any], *, mean: Any, sqrt: Any
) -> dict[str, Any]:
    """The forward definition and the compiled backward on any kind of array: floats, midpoint-radius, Arb balls.

    Returns
        Everything by name: inputs, named results, what is saved, gradients; in shapes that broadcast against x.
    """
    lowered = lower(layer, case.layout, tuple(case.parameters))
    known = layer.forward(x, given, case.eps, mean=mean, sqrt=sqrt, count=case.count)
    known |= {"x": x, "eps": case.eps, **layer.settings, **given}
    known |= {_arriving(name): value for name, value in upstream.items()}
    saved = lowered.saved(*(known[name] for name in lowered.saved_arguments), case.eps)
    known |= zip(lowered.saved_outputs, saved, strict=True)
    if lowered.product is not None:
        known["y"] = lowered.product(*(known[name] for name in lowered.product_arguments))
    gradients = lowered.backward(*(known[name] for name in lowered.arguments))
    return {**known, **dict(zip(lowered.outputs, gradients, strict=True))}


def _arriving(name: str) -> str:
    return "dy" if name == "y" else f"d{name}_out"
