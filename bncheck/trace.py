"""Runs a definition on recording nodes: the graph that others differentiate, read as symbols, or draw.

About ten elementary operations are known, the ones definitions use; each `Node` remembers its operation, its inputs
and the roles along which it varies. The tape is in topological order because it is written as the definition runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from bncheck.case import X_TANGENT, Layout
from bncheck.errors import InvalidDefinition
from bncheck.layers import RESERVED, Layer


@dataclass(frozen=True, eq=False)
class Node:
    """One elementary operation of the forward pass.

    `operation` is input, constant, add, subtract, multiply, divide, negative, sqrt or mean; `name` is set on inputs;
    `value` on constants; `axes` holds the letters of the layout along which the result varies.
    """

    tape: list[Node]
    operation: str
    inputs: tuple[Node, ...] = ()
    name: str | None = None
    value: float | int | None = None
    axes: str = ""

    def __post_init__(self) -> None:
        self.tape.append(self)

    def _record(self, operation: str, *operands: Any) -> Node:
        nodes = tuple(self._node(operand) for operand in operands)
        axes = "".join(sorted({axis for node in nodes for axis in node.axes}))
        return Node(self.tape, operation, nodes, axes=axes)

    def _node(self, operand: Any) -> Node:
        if isinstance(operand, Node):
            return operand
        if isinstance(operand, (int, float)) and math.isfinite(operand):
            return Node(self.tape, "constant", value=operand)
        raise InvalidDefinition(
            f"operand={operand!r}, expected a finite number or a value computed from x. Use Python's own numbers."
        )

    def __add__(self, other: Any) -> Node:
        return self._record("add", self, other)

    def __radd__(self, other: Any) -> Node:
        return self._record("add", other, self)

    def __sub__(self, other: Any) -> Node:
        return self._record("subtract", self, other)

    def __rsub__(self, other: Any) -> Node:
        return self._record("subtract", other, self)

    def __mul__(self, other: Any) -> Node:
        return self._record("multiply", self, other)

    def __rmul__(self, other: Any) -> Node:
        return self._record("multiply", other, self)

    def __truediv__(self, other: Any) -> Node:
        return self._record("divide", self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return self._record("divide", other, self)

    def __neg__(self) -> Node:
        return self._record("negative", self)

    def __pow__(self, exponent: int) -> Node:
        if not isinstance(exponent, int) or exponent < 1:
            raise InvalidDefinition(
                f"exponent={exponent!r}, expected a whole number above 0. Use sqrt and / for others."
            )
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise InvalidDefinition(
            f"the definition uses .{attribute}, expected only + - * / ** and the mean and sqrt it is handed."
            " Rewrite it with these."
        )

    def __bool__(self) -> bool:
        raise InvalidDefinition(
            "the definition branches on a value, expected one formula for every input. Leave out the branch."
        )

    def _compare(self, other: Any) -> bool:
        return bool(self)

    __lt__ = __le__ = __gt__ = __ge__ = _compare


@dataclass(frozen=True)
class Graph:
    """A traced definition: all nodes in topological order, the inputs and the named results among them.

    `differentiable` names the inputs that have a gradient, x and the parameters; state, eps and settings have none.
    """

    nodes: tuple[Node, ...]
    inputs: Mapping[str, Node]
    named: Mapping[str, Node]
    differentiable: tuple[str, ...]


@lru_cache(maxsize=64)
def trace(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> Graph:
    """The graph of `layer` on `layout` with the given parameters present; the others keep their defaults.

    Raises
        InvalidDefinition: the definition does something other than the elementary operations.

    >>> from bncheck.layers import LAYERS
    >>> graph = trace(LAYERS["batch_norm"], Layout("NC", "N", "C"), ("gamma", "beta"))
    >>> [node.operation for node in graph.nodes if node.inputs][:4]
    ['mean', 'subtract', 'multiply', 'mean']
    """
    tape: list[Node] = []
    large, along = "".join(sorted(layout.axes)), "".join(sorted(layout.affine))
    axes_of = {"x": large, **dict.fromkeys((*parameters, *layer.state), along)}
    axes_of |= {X_TANGENT: large} if X_TANGENT in parameters else {}
    axes_of |= dict.fromkeys(("eps", *layer.settings, *(op for op in layer.operations if op == "count")), "")
    inputs = {name: Node(tape, "input", name=name, axes=axes) for name, axes in axes_of.items()}

    def mean(node: Any) -> Node:
        if not isinstance(node, Node):
            raise InvalidDefinition(f"mean({node!r}), expected a value computed from x. Write a number as it is.")
        axes = "".join(axis for axis in node.axes if axis not in layout.reduced)
        return Node(tape, "mean", (node,), axes=axes)

    def sqrt(node: Any) -> Node:
        if not isinstance(node, Node):
            raise InvalidDefinition(f"sqrt({node!r}), expected a value computed from x. Write a number as it is.")
        return Node(tape, "sqrt", (node,), axes=node.axes)

    try:
        given = {name: inputs[name] for name in (*parameters, *layer.state, *layer.settings)}
        count = inputs.get("count")
        named = layer.forward(inputs["x"], given, inputs["eps"], mean=mean, sqrt=sqrt, count=count)
    except InvalidDefinition:
        raise
    except Exception as error:
        raise InvalidDefinition(
            f"definition={layer.name} raised {type(error).__name__}: {error}; expected only + - * / **, mean and sqrt."
            " Rewrite it with these."
        ) from error
    for name, node in named.items():
        if not isinstance(node, Node) or node.operation in ("input", "constant"):
            shown = f"an input, {node.name}" if isinstance(node, Node) else repr(node)
            raise InvalidDefinition(
                f"{layer.name} returned {name}={shown}, expected a value computed from x. Leave it out, or compute it."
            )
        if not name.isidentifier() or name in RESERVED - {"y"}:
            raise InvalidDefinition(
                f"{layer.name} returned {name!r}, expected a name that formulas do not use. Rename it."
            )
    needed = _behind(named["y"])
    for name in ("x", *parameters):
        if inputs[name] not in needed and X_TANGENT not in parameters:  # J·ẋ need not depend on x: J may be constant
            raise InvalidDefinition(f"{layer.name} makes no use of {name}, expected y to depend on it. Leave it out.")
    for name in layer.outputs:
        if name not in named:
            raise InvalidDefinition(f"{layer.name} returned no {name}, expected every output. Return it as well.")
    if len(set(named.values())) < len(named):
        raise InvalidDefinition(
            f"{layer.name} returned one value under two names, {', '.join(named)}; expected one name. Leave one out."
        )
    used = _behind(*named.values(), *inputs.values())
    nodes = tuple(node for node in tape if node in used)
    return Graph(nodes, MappingProxyType(inputs), MappingProxyType(dict(named)), ("x", *parameters))


def _behind(*nodes: Node) -> set[Node]:
    """All that these nodes are computed from, themselves among them."""
    found: set[Node] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(node.inputs)
    return found


def is_centred(layer: Layer) -> bool:
    """Whether the layer subtracts a mean: whether one is among its named results."""
    return "mean" in trace(layer, layer.layouts[0], layer.parameters).named
