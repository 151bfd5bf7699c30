"""The graph oracle: elementary nodes with hand-written local rules, and one reverse sweep.

Each rule stands beside its operation in one table. A sweep keeps the value and the gradient of every node, so that
every intermediate can be looked at by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Gradients
from bncheck.layers import Layer
from bncheck.trace import Graph, Node, trace

# operation → (value of its inputs, gradients of its inputs from: upstream gradient, own value, input values)
_RULES: Mapping[str, tuple[Callable[..., Any], Callable[..., tuple[Any, ...]]]] = {
    "add": (np.add, lambda g, out, a, b: (g, g)),
    "subtract": (np.subtract, lambda g, out, a, b: (g, -g)),
    "multiply": (np.multiply, lambda g, out, a, b: (g * b, g * a)),
    "divide": (np.divide, lambda g, out, a, b: (g / b, -g * out / b)),
    "negative": (np.negative, lambda g, out, a: (-g,)),
    "sqrt": (np.sqrt, lambda g, out, a: (g / (2 * out),)),
}


@dataclass(frozen=True)
class Sweep:
    """The forward values and the gradients of all nodes of one case."""

    graph: Graph
    values: Mapping[Node, Any]
    gradients: Mapping[Node, Any]

    def value(self, name: str) -> Array:
        """The value of an input or of a named result; reduced axes are kept with size 1."""
        return np.asarray(self.values[self._node(name)])

    def gradient(self, name: str) -> Array:
        """The gradient of the loss with respect to an input or a named result."""
        return np.asarray(self.gradients[self._node(name)])

    def _node(self, name: str) -> Node:
        return {**self.graph.inputs, **self.graph.named}[name]


def vjp(layer: Layer, case: Case) -> Gradients:
    """y and every gradient of one case, by the reverse sweep, in the case's dtype.

    Half types are computed in float32, and every result is rounded once.

    Error
        Within `bncheck.tolerance` of the truth on the cases of tests/test_agreement.py.

    >>> from bncheck.layers import LAYERS
    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> vjp(LAYERS["batch_norm"], case)["dx"].ravel() * 2**1.5
    array([ 0.5, -0.5])
    """
    done = sweep(layer, case.widened())
    values = {name: done.value(name) for name in layer.returned(done.graph.named)}
    gradients = {f"d{name}": done.gradient(name) for name in done.graph.differentiable}
    return case.answered(values | gradients)


def sweep(layer: Layer, case: Case) -> Sweep:
    """One forward and one reverse pass over the layer's graph.

    >>> from bncheck.layers import LAYERS
    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> done = sweep(LAYERS["batch_norm"], case)
    >>> done.value("var").item(), round(done.gradient("var").item() * 2**1.5, 12)
    (1.0, 0.5)
    """
    return swept(trace(layer, case.layout, tuple(case.parameters)), case)


def swept(graph: Graph, case: Case) -> Sweep:
    """One forward and one reverse pass over a graph."""
    with np.errstate(all="ignore"):
        values = _forward(graph, case)
        gradients = _reverse(graph, case, values)
    return Sweep(graph, values, gradients)


def _forward(graph: Graph, case: Case) -> dict[Node, Any]:
    given: dict[str, Any] = {"x": case.x, "eps": case.eps, "count": case.count, **case.given()}
    values: dict[Node, Any] = {}
    for node in graph.nodes:
        arguments = [values[argument] for argument in node.inputs]
        if node.operation == "input":
            values[node] = given[str(node.name)]
        elif node.operation == "constant":
            values[node] = node.value
        elif node.operation == "mean":
            values[node] = np.mean(arguments[0], axis=case.layout.reduced_axes, keepdims=True)
        else:
            result = _RULES[node.operation][0](*arguments)
            values[node] = result if np.ndim(result) else result.item()  # numbers do not widen the arrays they meet
    return values


def _reverse(graph: Graph, case: Case, values: Mapping[Node, Any]) -> dict[Node, Any]:
    gradients: dict[Node, Any] = {node: np.zeros_like(values[node]) for node in graph.nodes}
    gradients |= {graph.named[name]: value for name, value in case.broadcast_upstream().items()}
    for node in reversed(graph.nodes):
        if not node.inputs:
            continue
        upstream = gradients[node]
        arguments = [values[argument] for argument in node.inputs]
        if node.operation == "mean":
            (whole,) = arguments
            local: tuple[Any, ...] = (np.broadcast_to(upstream / (whole.size // upstream.size), whole.shape),)
        else:
            local = _RULES[node.operation][1](upstream, values[node], *arguments)
        for argument, contribution in zip(node.inputs, local, strict=True):
            if np.ndim(values[argument]) and (argument.inputs or argument.name in graph.differentiable):
                gradients[argument] = gradients[argument] + _like(contribution, values[argument])
    return gradients


def _like(gradient: Any, value: Any) -> Any:
    """Sums a gradient over the axes along which its value was broadcast."""
    axes = tuple(k for k, (g, v) in enumerate(zip(gradient.shape, np.shape(value), strict=True)) if g != v)
    return gradient.sum(axis=axes, keepdims=True) if axes else gradient
