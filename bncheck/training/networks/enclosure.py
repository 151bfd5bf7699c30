"""What rounding may do to a whole network: one step of it on midpoint-radius arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bncheck.case import Array
from bncheck.formats import Format
from bncheck.tolerances.intervals import Radius
from bncheck.training.networks.network import Network


def enclosed(network: Network, x: Array, labels: Array, dtype: Any) -> Mapping[str, Radius]:
    """The loss, every gradient by its module's place and its name, as ``0.weight``, and that of the input as ``x``.

    Each holds what any stable implementation can answer for these values in this dtype, in any order of summation. The
    bounds are those of the worst case and grow with width and depth: they serve networks that are small. The network
    itself is left as it was.

    Raises
        ArithmeticError: which of four pixels is the largest is open.

    >>> import numpy as np
    >>> from bncheck.training.networks.modules import Linear
    >>> network = Network([Linear(np.array([[0.0, 0.0]]), None)])
    >>> found = enclosed(network, np.array([[3.0]]), np.array([1]), np.float64)
    >>> found["0.weight"].midpoint.tolist(), bool(found["0.weight"].radius.max() < 1e-13)
    ([[1.5, -1.5]], True)
    """
    fmt = Format.of(dtype)
    before = [(module, dict(module.parameters), dict(module.gradients)) for module in network.modules]
    with network.unchanged():
        try:
            for module, parameters, _ in before:
                module.parameters = {name: Radius.exact(value, fmt) for name, value in parameters.items()}
            loss, dx = network.passed(Radius.exact(x, fmt), labels)
            found = {f"{k}.{n}": g for k, module in enumerate(network.modules) for n, g in module.gradients.items()}
        finally:
            for module, parameters, gradients in before:
                module.parameters, module.gradients = parameters, gradients
    return {"loss": loss, "x": dx, **found}
