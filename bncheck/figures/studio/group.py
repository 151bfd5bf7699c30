"""One small group with round numbers, as one would choose it on a blackboard, and how its numbers are written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bncheck.case import Array, Case
from bncheck.figures.studio.computation import computation, diagram
from bncheck.figures.studio.diagram import Diagram
from bncheck.figures.studio.look import Look
from bncheck.layers import Layer
from bncheck.oracles.graph import sweep

COUNT = 4
"""How many elements the group has."""


def small_case(layer: Layer, seed: int) -> Case:
    """A case of one group of `COUNT` elements: whole numbers for x, halves for everything else.

    Shapes
        x, dy: 4 along the last axis that the layer's first layout reduces, 1 along all others

    >>> from bncheck.layers import LAYERS
    >>> small_case(LAYERS["batch_norm"], 0).x.shape, small_case(LAYERS["layer_norm"], 0).x.shape
    ((4, 1), (1, 4))
    """
    layout = layer.layouts[0]
    shape = tuple(COUNT if axis == layout.reduced[-1] else 1 for axis in layout.axes)
    rng = np.random.default_rng(seed)
    x = rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0], COUNT, replace=False).reshape(shape)
    dy = np.zeros(shape)
    while abs(dy.sum()) < 1:  # or nothing would come back through the mean
        dy = rng.choice([-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0], COUNT, replace=False).reshape(shape)
    sizes = layout.parameter_shape(shape)
    drawn = {name: rng.choice([-1.5, -0.5, 0.5, 1.5, 2.0, 3.0], sizes) for name in layer.parameters}
    return Case(layout, x, dy, drawn, 1e-5, f"blackboard/{seed}")


def number(value: float, digits: int = 2) -> str:
    """A number in two digits after the point, with a minus sign; tiny ones by their power of ten.

    >>> number(-0.5), number(1e-5), number(-1e-17), number(2.0)
    ('−0.50', '1e−5', '0.00', '2.00')
    """
    if 1e-12 < abs(value) < 0.5 * 10.0**-digits:
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def column(values: Array) -> str:
    """Numbers under one another.

    >>> column(np.array([1.0, -2.0])).splitlines()
    ['1.00', '−2.00']
    """
    return "\n".join(number(float(v)) for v in np.asarray(values).reshape(-1))


def numbered(layer: Layer, look: Look, seed: int) -> Diagram:
    """The diagram of a layer with the values and gradients of a small group."""
    found = computation(layer)
    done = sweep(layer, small_case(layer, seed))
    plain = diagram(found, look, derivatives=False)
    vertices = []
    for node, vertex in zip(found.nodes, plain.vertices, strict=True):
        vertices.append(replace(vertex, above=column(done.values[node]), below=column(done.gradients[node])))
    return replace(plain, vertices=tuple(vertices))
