"""The gradient of x as the sum of three paths: direct, through the mean, through the variance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array, Case
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.group import NOISE, number, small_case
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.graph import sweep
from bncheck.trace import Node, trace

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page


def about(unit: int = 0) -> About:
    """The figure's words, with the power of ten that its numbers are in units of."""
    units = (f" Times $10^{{{unit}}}$.", f"单位：$10^{{{unit}}}$。") if unit else ("", "")
    return About(
        title=Words("All ways back to x add up", "回到 x 的各条路相加"),
        reading=Words(
            "An element acts on the output by itself and through the statistics that it helps to make; the gradient is"
            " the sum of what comes back along each way.",
            "一个元素既直接影响输出，也通过它参与计算的统计量影响输出；梯度是各条路返回值之和。",
        ),
        caption=Words(
            f"Each way alone: the other statistics held constant. One group of numbers.{units[0]}",
            f"每条路单独计算：其余统计量视为常数。一组数。{units[1]}",
        ),
    )


ABOUT = about()

_ROLES = ("direct", "mean_path", "variance_path", "third")


def paths(layer: Layer, case: Case) -> Mapping[str, Array]:
    """∂ℓ/∂x along each way by itself: "direct" with all statistics constant, and through each mean of the definition.

    What goes through several statistics one after another is under "mixed", where it is not zero.

    >>> from bncheck.figures.studio.group import small_case
    >>> batch_norm = LAYERS["batch_norm"]
    >>> found = paths(batch_norm, small_case(batch_norm, 0))
    >>> list(found), abs(float(sum(found.values()).sum())) < 1e-15
    (['direct', 'mean', 'var'], True)
    """
    whole = sweep(layer, case)
    means = [node for node in whole.graph.nodes if node.operation == "mean"]
    constants = [float(whole.values[node].reshape(-1)[0]) for node in means]
    direct = sweep(_frozen(layer, constants, None), case).gradient("x")
    found = {"direct": direct}
    for k, node in enumerate(means):
        found[_name(layer, case, node)] = sweep(_frozen(layer, constants, k), case).gradient("x") - direct
    mixed = whole.gradient("x") - sum(found.values())
    return found if abs(mixed).max() < 1e-12 * max(abs(v).max() for v in found.values()) else {**found, "mixed": mixed}


def _name(layer: Layer, case: Case, mean: Node) -> str:
    graph = trace(layer, case.layout, tuple(case.parameters))
    named = {node: name for name, node in graph.named.items()}
    return named.get(mean, f"mean {list(graph.nodes).index(mean)}")


def _frozen(layer: Layer, constants: list[float], live: int | None) -> Layer:
    """The layer with every mean replaced by the number it has, but for the one that is left live."""

    @wraps(layer.definition)
    def definition(*arguments: Any, mean: Any, **more: Any) -> dict[str, Any]:
        numbers = iter(enumerate(constants))

        def held(value: Any) -> Any:
            k, constant = next(numbers)
            return mean(value) if k == live else mean(value) * 0 + constant  # as large as a mean, without its gradient

        return {"y": layer.definition(*arguments, mean=held, **more)["y"]}

    return Layer(definition, layer.layouts)


@figure
def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"], case: Case | None = None) -> Page:
    """The figure for a layer, and for a case of one group if one is given."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import new_page

    found, unit = scaled(paths(layer, case or small_case(layer, seed)))
    with new_page(about(unit), look, seed, look.layer(layer.name), case.origin if case else "") as page:
        width, height = page.body[2:]
        below = max(0.45, 0.07 * (found["direct"].size + 1)) * height
        diagram.draw(page, ways(found, look), (0, below, width, height - below))
        _table(page, found, below)
    return page


def dot(look: Look = Look(), *, layer: Layer = LAYERS["batch_norm"]) -> graphviz.Digraph:
    """The same ways in DOT."""
    from bncheck.figures.studio import diagram

    return diagram.dot_of(ways(paths(layer, small_case(layer, 0)), look), "graph_three_paths")


def scaled(found: Mapping[str, Array]) -> tuple[Mapping[str, Array], int]:
    """The ways in units in which the largest number is neither long nor next to nothing, and the power of ten of these.

    What is nothing but the rounding of larger ones is 0.

    >>> scaled({"direct": np.array([2e-8]), "mean": np.array([-3e-24])})
    ({'direct': array([2.]), 'mean': array([0.])}, -8)
    """
    largest = max(float(np.abs(values).max()) for values in found.values())
    unit = math.floor(math.log10(largest)) if largest and not 0.1 <= largest < 1e5 else 0
    settled = {name: np.where(np.abs(values) <= NOISE * largest, 0.0, values) for name, values in found.items()}
    return {name: values / 10.0**unit for name, values in settled.items()}, unit


def ways(found: Mapping[str, Array], look: Look) -> Diagram:
    """The ways as a graph: one edge straight across, and one node for each statistic."""
    from bncheck.figures.studio.computation import symbol
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex

    statistics = [name for name in found if name not in ("direct", "mixed")]
    middle = (len(statistics) + 1) // 2
    vertices = [Vertex("x", "$x$", "x", "named"), Vertex("y", "$y$", "y", "named")]
    cells = {"x": (0, middle), "y": (2, middle)}
    arrows = [Arrow("x", "y", _words("direct", look), _words("direct", look), "direct")]
    for k, (name, role) in enumerate(zip(statistics, _ROLES[1:] * len(found), strict=False)):
        vertices.append(Vertex(name, f"${symbol(name).tex}$", symbol(name).typed, "named", role=role))
        cells[name] = (1, k if k < middle else k + 1)
        arrows += [Arrow(*ends, "", "", role) for ends in (("x", name), (name, "y"))]
    return Diagram(tuple(vertices), tuple(arrows), cells=cells)


def adding_up(columns: list[Array]) -> int:
    """The least number of digits, from 2, with which the last column is the sum of the others as they are written.

    >>> adding_up([np.array([0.004]), np.array([0.004]), np.array([0.008])])
    3
    """

    def adds_up(digits: int) -> bool:
        *parts, total = (np.round(values, digits) for values in columns)
        return bool(np.all(np.abs(sum(parts) - total) < 0.5 * 10.0**-digits))

    return next((digits for digits in range(2, 6) if adds_up(digits)), 6)


def _words(name: str, look: Look) -> str:
    from bncheck.figures.studio.computation import symbol

    if name == "direct":
        return look.say("direct", "直接")
    if name == "mixed":
        return look.say("through several", "经过多个")
    tex = symbol(name).tex
    return look.say(rf"through ${tex}$", rf"经过 ${tex}$")


def _table(page: Page, found: Mapping[str, Array], height: float) -> None:
    """One row for each element: the parts, each in its way's colour, and their sum."""
    look, axes = page.look, page.axes[0]
    columns = [*found.values(), np.sum([*found.values()], axis=0)]
    roles = [*(_ROLES * len(found))[: len(found)], "gradient"]
    digits = adding_up([values.reshape(-1) for values in columns])
    heads = [*(_words(name, look) for name in found), r"$\partial\ell/\partial x$"]
    step = min(page.body[2] / (len(columns) + 0.4), 96 * look.scale)
    longest = max(3 + digits, *(len(number(v, digits, 0)) for values in columns for v in values.reshape(-1)))
    size = min(9.5 * look.scale, step / (0.6 + 0.8 * longest))
    left = (page.body[2] - step * len(columns)) / 2
    rows = len(columns[0].reshape(-1)) + 1
    for k, (head, values, role) in enumerate(zip(heads, columns, roles, strict=True)):
        middle = left + (k + 0.5) * step
        for row, text in enumerate([head, *(number(v, digits, 0) for v in values.reshape(-1))]):
            y = height * (1 - (row + 0.6) / (rows + 0.2))
            right: dict[str, Any] = (
                {"x": middle, "ha": "center"} if row == 0 else {"x": middle + 0.3 * longest * size, "ha": "right"}
            )
            letters = min(size, 9.5 * look.scale) if row else min(9.5 * look.scale, step / 7.5)
            axes.text(y=y, s=text, va="center_baseline", fontsize=letters, color=look.colour(role), **right)
            if k and row:
                sign = "=" if k == len(columns) - 1 else "+"
                axes.text(middle - step / 2, y, sign, ha="center", va="center_baseline", fontsize=size,
                          color=look.colour("muted"))  # fmt: skip
