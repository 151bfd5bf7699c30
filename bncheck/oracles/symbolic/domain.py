"""Tells a definition that has no value anywhere: what follows from it would be proved of nothing."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from flint import arb

from bncheck.case import Layout
from bncheck.errors import InvalidDefinition
from bncheck.layers import Layer
from bncheck.oracles import precision
from bncheck.oracles.symbolic.refutation import BITS, FURTHER, POINTS, Point
from bncheck.oracles.symbolic.symbols import SIZES
from bncheck.trace import Graph, Node, behind

_OPERATIONS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "negative": np.negative}
_FAULTS = {"divide": "divides by 0", "sqrt": "takes the root of a number that is not above 0"}


def check_domain(layer: Layer, layout: Layout, graph: Graph) -> None:
    """Puts numbers into the graph of a layout of one axis for each role, until it has a value at some point.

    Raises
        InvalidDefinition: there is none, since a denominator or a root is zero or negative throughout.
    """
    faults: Counter[tuple[str, str]] = Counter()
    with precision.bits(BITS):
        for point in (*POINTS, *FURTHER):
            node = _first_fault(layer, layout, graph, point)
            if node is None:
                return
            faults[node.operation, _step_of(graph, node)] += 1
    (operation, step), _ = faults.most_common(1)[0]
    raise InvalidDefinition(
        f"definition={layer.name} {_FAULTS[operation]} in {step} at every x tried, expected a formula that has a value."
        " Look at what stands there."
    )


def _first_fault(layer: Layer, layout: Layout, graph: Graph, point: Point) -> Node | None:
    """The first node that has no value, or no derivative, at a point."""
    values: dict[Node, Any] = {}
    for node in graph.nodes:
        operands = [values[operand] for operand in node.inputs]
        if node.operation == "sqrt":
            if not all(value > 0 for value in operands[0].flat):
                return node
            values[node] = np.array([value.sqrt() for value in operands[0].flat], object).reshape(operands[0].shape)
        elif node.operation == "divide":
            if any(value.contains(0) for value in operands[1].flat):
                return node
            values[node] = operands[0] / operands[1]
        elif node.operation == "mean":
            reduced = set(node.inputs[0].axes) - set(node.axes)
            axes = tuple(k for k, letter in enumerate(SIZES) if letter in reduced)
            count = math.prod(operands[0].shape[k] for k in axes)
            values[node] = operands[0].sum(axis=axes, keepdims=True) / arb(count)
        elif node.inputs:
            values[node] = _OPERATIONS[node.operation](*operands)
        elif node.operation == "constant":
            values[node] = np.full((1,) * len(SIZES), arb(node.value), dtype=object)
        elif node.name == "count" and "count" in layer.operations:
            count = math.prod(point.size(letter) for letter in layout.reduced)
            values[node] = np.full((1,) * len(SIZES), arb(count), dtype=object)
        else:
            shape = [point.size(letter) if letter in node.axes else 1 for letter in SIZES]
            names = [f"{node.name}{place}" for place in np.ndindex(*shape)]
            numbers = [point.drawn(name, positive=node.name == "eps") for name in names]
            values[node] = np.array(numbers, dtype=object).reshape(shape)
    return None


def _step_of(graph: Graph, node: Node) -> str:
    """The first named result that is computed from a node."""
    return next((name for name, result in graph.named.items() if node in behind(result)), "y")
