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
from bncheck.layers import Layer
from bncheck.tangents import refuse_to_branch


@dataclass(frozen=True, eq=False)
class Node:
    """One elementary operation of the forward pass.

    `operation` is input, constant, add, subtract, multiply, divide, negative, sqrt or mean; `name` is set on inputs;
    `value` on constants; `axes` holds the letters of the layout along which the result varies.
    """

    operation: str
    inputs: tuple[Node, ...] = ()
    name: str | None = None
    value: float | int | None = None
    axes: str = ""


class Recorder:
    """What a definition computes with: a value that writes down each operation on it, and has no number to look at."""

    __slots__ = ("node", "tape")

    def __init__(self, tape: list[Node], node: Node) -> None:
        tape.append(node)
        self.tape, self.node = tape, node

    def record(self, operation: str, *operands: Any, axes: str | None = None) -> Recorder:
        """The result of an operation; it varies along every axis that an operand varies along, unless `axes` says."""
        nodes = tuple(self._node(operand) for operand in operands)
        along = "".join(sorted({axis for node in nodes for axis in node.axes}))
        return Recorder(self.tape, Node(operation, nodes, axes=along if axes is None else axes))

    def _node(self, operand: Any) -> Node:
        if isinstance(operand, Recorder):
            return operand.node
        if isinstance(operand, (int, float)) and math.isfinite(operand):
            return Recorder(self.tape, Node("constant", value=operand)).node
        raise InvalidDefinition(
            f"operand={operand!r}, expected a finite number or a value computed from x. Use Python's own numbers."
        )

    def __add__(self, other: Any) -> Recorder:
        return self.record("add", self, other)

    def __radd__(self, other: Any) -> Recorder:
        return self.record("add", other, self)

    def __sub__(self, other: Any) -> Recorder:
        return self.record("subtract", self, other)

    def __rsub__(self, other: Any) -> Recorder:
        return self.record("subtract", other, self)

    def __mul__(self, other: Any) -> Recorder:
        return self.record("multiply", self, other)

    def __rmul__(self, other: Any) -> Recorder:
        return self.record("multiply", other, self)

    def __truediv__(self, other: Any) -> Recorder:
        return self.record("divide", self, other)

    def __rtruediv__(self, other: Any) -> Recorder:
        return self.record("divide", other, self)

    def __neg__(self) -> Recorder:
        return self.record("negative", self)

    def __pow__(self, exponent: int) -> Recorder:
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

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = refuse_to_branch
    __hash__ = None  # type: ignore[assignment]  # to look a value up is to compare it


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
    recorders = {name: Recorder(tape, Node("input", name=name, axes=axes)) for name, axes in axes_of.items()}

    def mean(value: Any) -> Recorder:
        return _computed("mean", value).record(
            "mean", value, axes="".join(axis for axis in value.node.axes if axis not in layout.reduced)
        )

    def sqrt(value: Any) -> Recorder:
        return _computed("sqrt", value).record("sqrt", value)

    try:
        given = {name: recorders[name] for name in (*parameters, *layer.state, *layer.settings)}
        count = recorders.get("count")
        results = layer.forward(recorders["x"], given, recorders["eps"], mean=mean, sqrt=sqrt, count=count)
    except InvalidDefinition:
        raise
    except Exception as error:
        raise InvalidDefinition(
            f"definition={layer.name} raised {type(error).__name__}: {error}; expected only + - * / **, mean and sqrt."
            " Rewrite it with these."
        ) from error
    inputs = {name: recorder.node for name, recorder in recorders.items()}
    named: dict[str, Node] = {}
    for name, result in results.items():
        if not isinstance(result, Recorder) or result.node.operation in ("input", "constant"):
            shown = f"an input, {result.node.name}" if isinstance(result, Recorder) else repr(result)
            raise InvalidDefinition(
                f"{layer.name} returned {name}={shown}, expected a value computed from x. Leave it out, or compute it."
            )
        if name in inputs:
            raise InvalidDefinition(
                f"{layer.name} returned {name!r}, the name of an input, expected a name of its own. Rename it."
            )
        if name != "y" and not layer.may_name(name):
            raise InvalidDefinition(
                f"{layer.name} returned {name!r}, expected a name that formulas do not use. Rename it."
            )
        named[name] = result.node
    needed = behind(named["y"])
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
    used = behind(*named.values(), *inputs.values())
    nodes = tuple(node for node in tape if node in used)
    return Graph(nodes, MappingProxyType(inputs), MappingProxyType(dict(named)), ("x", *parameters))


def _computed(operation: str, value: Any) -> Recorder:
    """What an operation is handed, which has to be computed from x."""
    if not isinstance(value, Recorder):
        raise InvalidDefinition(f"{operation}({value!r}), expected a value computed from x. Write a number as it is.")
    return value


def behind(*nodes: Node) -> set[Node]:
    """All that these nodes are computed from, themselves among them."""
    reached: set[Node] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending.extend(node.inputs)
    return reached
