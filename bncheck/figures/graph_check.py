"""Where a backward pass goes wrong: each node coloured by whether the gradient that arrives there is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array, Case
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.formats import Format
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.graph import sweep
from bncheck.tolerances.intervals import Radius
from bncheck.trace import Graph, Node, trace

if TYPE_CHECKING:
    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Wrong begins at the bug", "梯度从有错处开始错"),
    reading=Words(
        "Gradients are right until the way back meets the bug; behind it they are wrong, save that of μ, over which the"
        " error sums to 0.",
        "返回途中遇到错误之前梯度都正确；之后都错，只有 μ 的梯度例外：误差在那里求和为 0。",
    ),
    caption=Words(
        "✓ within the rounding bound, ✗ outside. Framed: the first wrong node, going back.",
        "✓ 在计算出的舍入误差界之内，✗ 在界外。加框：返回途中第一个出错的节点。",
    ),
)

LETTERS = 9.0
"""The size of the headings, at beamer169."""

Backward = Callable[[Case], Mapping[str, Array]]


def verdicts(layer: Layer, case: Case, backward: Backward | None = None, *, ddof: int = 0) -> Mapping[Node, bool]:
    """Whether each gradient of a backward pass is within the rounding bound of the right one, node by node.

    `backward` returns gradients under the names of inputs and results of the definition; nodes without are left out.
    Without it the suspect is the reverse sweep as textbooks write it, node by node; with `ddof` every mean in it sends
    1/(m − ddof) of its gradient back to each element: 1 is a bug that real code has had.
    """
    from bncheck.bugs.expressions import exchanged, number, plus
    from bncheck.bugs.programs import COUNT, DY, Bench, elementary, gradient

    graph = trace(layer, case.layout, tuple(case.parameters))
    truth = sweep(layer, case).gradients
    program, labels = elementary(layer, case.layout, tuple(case.parameters))
    own = {node: gradient(label) for node, label in labels.items()}
    steps = {node for node, label in labels.items() if label in program.forward}  # one that has none receives dy itself
    gradients = {n: g if g in program.backward else DY for n, g in own.items() if n in steps or g in program.backward}
    fmt = Format.of(case.dtype)
    allowed = Bench(program, case, lambda values: Radius.exact(np.asarray(values, np.float64), fmt)).values(program)
    if backward is None:
        count = {COUNT.label: plus(COUNT, number(-ddof))}
        edited = replace(program, backward={n: exchanged(e, count) for n, e in program.backward.items()})
        values = Bench(program, case).values(edited)
        got = {node: values[label] for node, label in gradients.items()}
    else:
        nodes = {**graph.inputs, **graph.named}
        got = {nodes[name]: np.reshape(value, np.shape(truth[nodes[name]])) for name, value in backward(case).items()}
    radii = {node: allowed[gradients[node]] for node in got}
    return {node: bool(np.all(np.abs(got[node] - truth[node]) <= 2 * _radius(radii[node]))) for node in got}


def _radius(allowed: Any) -> Any:
    return allowed.radius if isinstance(allowed, Radius) else 0.0


def first_wrong(found: Mapping[Node, bool], graph: Graph) -> Node | None:
    """The first wrong node on the way back: all that it gets its gradient from is right."""
    return next((node for node in reversed(graph.nodes) if found.get(node) is False), None)


@figure
def draw(
    look: Look = Look(),
    seed: int = 0,
    *,
    layer: Layer = LAYERS["batch_norm"],
    case: Case | None = None,
    backward: Backward | None = None,
) -> Page:
    """The figure for a layer: each node's verdicts on a right backward pass and on one with a bug; or on your own."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.group import small_case
    from bncheck.figures.studio.page import new_page

    shown = case or small_case(layer, seed)
    if backward is not None:
        passes = [verdicts(layer, shown, backward)]
        headings = [look.say("a backward pass of your own", "自己的反向传播")]
    else:
        passes = [verdicts(layer, shown), verdicts(layer, shown, ddof=1)]
        headings = [
            look.say("left: a textbook's backward pass", "左：教科书的反向传播"),
            look.say(r"right: its means send back $1/(m-1)$", r"右：均值传回 $1/(m-1)$"),
        ]
    with new_page(ABOUT, look, seed, look.layer(layer.name), case.origin if case else "") as page:
        width, height = page.body[2:]
        size = LETTERS * look.scale
        axes = diagram.draw(page, coloured(layer, shown, passes, look), (0, 0, width, height - 1.5 * size))
        for k, heading in enumerate(headings):
            axes.text(k * width / 2, height, heading, fontsize=size, va="top", color=look.colour("forward"))
    return page


def coloured(layer: Layer, case: Case, passes: Sequence[Mapping[Node, bool]], look: Look) -> Diagram:
    """The layer's diagram with the verdicts of each backward pass in every node that has one; the last one colours."""
    from bncheck.figures.studio.computation import computation, diagram

    graph = computation(layer, case.layout)
    plain = diagram(graph, look, derivatives=False)
    known = [{node: all(found[n] for n in copies) for node, copies in graph.copies.items() if {*copies} <= {*found}}
             for found in passes]  # fmt: skip
    first = first_wrong(known[-1], graph.graph)
    vertices = []
    for node, vertex in zip(graph.nodes, plain.vertices, strict=True):
        if node not in known[-1]:
            vertices.append(replace(vertex, faint=True, cluster=""))
            continue
        signs = tuple("✓" if found[node] else "✗" for found in known)
        role = "correct" if known[-1][node] else "wrong"
        vertices.append(replace(vertex, role=role, signs=signs, boxed=node is first, cluster=""))
    return replace(plain, vertices=tuple(vertices), clusters={})
