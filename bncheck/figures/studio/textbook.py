"""The reverse sweep as a textbook's class writes it: for each node the sum of what its consumers send back.

One table says what an operation sends; it is filled with the names of a program, or with the numbers of one element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from bncheck.case import Array, Layout
from bncheck.figures.studio.computation import LONGEST, Computation
from bncheck.figures.studio.group import column, tex
from bncheck.oracles.graph import Sweep
from bncheck.trace import Node

SENT: Mapping[str, tuple[str, ...]] = {
    "add": ("{g}", "{g}"),
    "subtract": ("{g}", "-{g}"),
    "multiply": ("{g} * {b}", "{g} * {a}"),
    "divide": ("{g} / {b}", "-{g} * {out} / {b}"),
    "negative": ("-{g}",),
    "sqrt": ("{g} / (2 * {out})",),
    "mean": ("{g} / {m}",),
}
"""What an operation sends back to each operand, where g has arrived at its result `out` of operands a and b."""

NAMES = {"mean": "mu", "mean_square": "ms", "xhat": "xn"}
"""What textbooks call values that have another name here."""


def sent(node: Node, consumer: Node, name: Callable[[Node], str], upstream: str, count: str) -> str:
    """What a consumer sends back to a node, in names or numbers of one's own."""
    parts = [SENT[consumer.operation][k] for k, operand in enumerate(consumer.inputs) if operand is node]
    if consumer.operation == "multiply" and len(parts) == 2:
        parts = ["{g} * 2 * {a}"]
    a, b = (name(consumer.inputs[k]) for k in (0, -1))
    return " + ".join(part.format(g=upstream, a=a, b=b, out=name(consumer), m=count) for part in parts)


@dataclass(frozen=True)
class Program:
    """A computation's names in a program that runs with NumPy."""

    found: Computation

    @property
    def layout(self) -> Layout:
        """The layout of x."""
        return self.found.layout

    @cached_property
    def names(self) -> Mapping[Node, str]:
        """An identifier for each node, put together from those of its operands while it is short."""
        named = {node: NAMES.get(name, name) for name, node in self.found.graph.named.items()}
        chosen: dict[Node, str] = {}
        for k, node in enumerate(self.found.graph.nodes):
            if node.operation == "constant":
                chosen[node] = f"{node.value:g}"
                continue
            name = named.get(node) or node.name
            if not name:
                lettered = node in self.found.letters
                name = self.found.formulas[node].typed if lettered else self._put_together(node, chosen)
                taken = name in chosen.values() or not name.isidentifier() or len(name) > LONGEST
                name = f"t{k}" if taken else name
            chosen[node] = name
        return chosen

    def _put_together(self, node: Node, chosen: Mapping[Node, str]) -> str:
        first, last = chosen[node.inputs[0]], chosen[node.inputs[-1]]
        if node.operation == "sqrt":
            return "std" if self.found.formulas[node].tex == "s" else f"root_{first}"
        if node.operation == "subtract" and first == "x" and last == "mu":
            return "xc"
        if node.operation == "multiply":
            return f"{first}_sq" if first == last else f"{first}_{last}"
        return f"{first}_{'' if node.operation == 'add' else node.operation}{last}"

    def is_summed(self, node: Node, consumer: Node) -> bool:
        """Whether what comes back has more axes than the node."""
        return set(node.axes) < set(consumer.axes)

    def line(self, node: Node) -> str:
        """The statement that computes a node's gradient."""
        consumers = [consumer for operand, consumer in self.found.edges() if operand is node]
        if not consumers:
            return f"d{self.names[node]} = dout"
        count = " / ".join(self.layout.reduced)
        terms = []
        for consumer in reversed(consumers):
            text = sent(node, consumer, self.names.__getitem__, f"d{self.names[consumer]}", count)
            if self.is_summed(node, consumer):
                gone = [k for k, axis in enumerate(self.layout.axes) if axis in consumer.axes and axis not in node.axes]
                axis = f"{gone[0]}" if len(gone) == 1 else f"({', '.join(map(str, gone))})"
                kept = ", keepdims=True" if "1" in self.shape(node) else ""
                text = f"np.sum({text}, axis={axis}{kept})"
            terms.append(text)
        return f"d{self.names[node]} = {' + '.join(terms)}"

    def shape(self, node: Node) -> tuple[str, ...]:
        """The letters of a value's axes; 1 for one that a mean has left."""
        axes = self.layout.axes
        if axes.endswith("".join(axis for axis in axes if axis in node.axes)):
            return tuple(axis for axis in axes if axis in node.axes)
        return tuple(axis if axis in node.axes else "1" for axis in axes)

    def sizes(self, node: Node, x: tuple[int, ...]) -> tuple[str, ...]:
        """The same in numbers, where x has these sizes."""
        size_of = dict(zip(self.layout.axes, x, strict=True))
        return tuple(str(size_of.get(axis, 1)) for axis in self.shape(node))


@dataclass(frozen=True)
class Arithmetic:
    """The numbers of a small group put into what is sent back, as they are written on the blackboard."""

    found: Computation
    done: Sweep

    def number(self, node: Node, k: int, *, gradient: bool = False) -> str:
        """A node's value or gradient in one of its elements."""
        values = np.asarray((self.done.gradients if gradient else self.done.values)[node])
        return column(values, 0)[k] if values.shape else f"{float(values):g}".replace("-", "−")

    def _elements(self, node: Node, shape: tuple[int, ...]) -> Array:
        """Which of a node's elements goes into each of an array that it is broadcast to."""
        own = np.shape(self.done.values[node])
        return np.broadcast_to(np.arange(math.prod(own)).reshape(own), shape).ravel()

    def terms(self, node: Node, k: int) -> list[str]:
        """What is added up for one element, or for what all share, in mathtext."""
        every = []
        count = self.found.layout.count(self.done.value("x").shape)
        for consumer in reversed([consumer for operand, consumer in self.found.edges() if operand is node]):
            shape = np.broadcast_shapes(*(np.shape(self.done.values[n]) for n in (node, consumer)))

            def factor(other: Node, element: Any, *, gradient: bool = False, shape: tuple[int, ...] = shape) -> str:
                return bracketed(self.number(other, self._elements(other, shape)[element], gradient=gradient))

            for element in np.flatnonzero(self._elements(node, shape) == k):
                upstream = factor(consumer, element, gradient=True)
                text = sent(node, consumer, partial(factor, element=element), upstream, f"{count}")
                every.append(text.replace(" * ", r"\cdot ").replace(" / ", "/"))
        return every

    def is_exact(self, node: Node) -> bool:
        """Whether the numbers on the way to a node's gradient are as they are written, up to ε."""
        near = {node, *(consumer for operand, consumer in self.found.edges() if operand is node)}
        near |= {operand for consumer in near - {node} for operand in consumer.inputs}
        every = [np.asarray(values[n]) for n in near for values in (self.done.values, self.done.gradients)]
        return all(bool(np.all(abs(values - values.round(2)) <= 1e-4)) for values in every if values.shape)


def bracketed(number: str) -> str:
    """A number as a factor, in mathtext."""
    return f"({tex(number)})" if number.startswith("−") or "e" in number else tex(number)
