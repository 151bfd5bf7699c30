"""The symbolic oracle: SymPy derives the gradients, proves their forms equal, and lowers them to NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from bncheck.case import Case, Gradients
from bncheck.definitions import Layer
from bncheck.oracles.symbolic.lowering import lower


def vjp(layer: Layer, case: Case) -> Gradients:
    """y and every gradient of one case, by the compiled closed form, in the case's dtype.

    Error
        Within `compare.Tolerance` of the truth; tests/test_tolerance.py holds it there.

    >>> import numpy as np
    >>> from bncheck.definitions import LAYERS
    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> vjp(LAYERS["batch_norm"], case)["dx"].ravel() * 2**1.5
    array([ 0.5, -0.5])
    """
    axes = case.layout.reduced_axes
    with np.errstate(all="ignore"):
        results = run(
            layer,
            case,
            case.x,
            case.dy,
            case.broadcast_parameters(),
            mean=lambda a: np.mean(a, axis=axes, keepdims=True),
            sqrt=np.sqrt,
        )
    shape = case.layout.parameter_shape(case.x.shape)
    return {k: np.asarray(v).reshape(case.x.shape if k in ("y", "dx") else shape) for k, v in results.items()}


def run(
    layer: Layer, case: Case, x: Any, dy: Any, parameters: dict[str, Any], *, mean: Any, sqrt: Any
) -> dict[str, Any]:
    """The forward definition and the compiled backward on any kind of array: floats, midpoint-radius, Arb balls.

    Parameters and the gradients with respect to them have the shape that broadcasts against x.
    """
    lowered = lower(layer, case.layout, tuple(parameters))
    known = layer.forward(x, parameters, case.eps, mean=mean, sqrt=sqrt) | {"x": x, "dy": dy} | parameters
    saved = lowered.saved(*(known[name] for name in lowered.saved_arguments), case.eps)
    known |= zip(lowered.saved_outputs, saved, strict=True)
    gradients = lowered.backward(*(known[name] for name in lowered.arguments))
    return {"y": known["y"], **dict(zip(lowered.outputs, gradients, strict=True))}
