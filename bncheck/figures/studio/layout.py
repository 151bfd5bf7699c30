"""Where the nodes of a small graph stand: in the cells of a grid, so that a page is filled and every edge is free.

Layered layouts give each step of a chain a column of its own: a long strip of small letters. Here a chain may turn, and
what is sought is the arrangement with the largest letters among those whose edges run to the right, upwards or
downwards, meet no node on their way and cross no other. It is searched for by simulated annealing: some dozens of
arrangements at once, always the same for the same graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bncheck.case import Array

ARRANGEMENTS, STEPS, HOT, COLD, FINISHED = 48, 75, 4.0, 0.5, 6
"""How many arrangements are cooled at once, in how many steps for each node, from which temperature to which; how many
of the best are improved until no single move does."""

ELSEWHERE = 0.3
"""How often a node is tried anywhere, and not beside one that it has an edge with."""

BREADTH, CLEAR = 0.5, 3.0
"""How much of a cell a node takes up to either side, and what an edge keeps away from it, in points at full size."""

LETTERS, LENGTH, SLANTED, LEFTWARDS, MEETING, CROSSING, NARROW, TIGHT, FOREIGN, SPREAD = (
    30,
    1,
    0.7,
    4,
    30,
    30,
    8,
    2,
    4,
    0.4,
)
"""The cost of: the share of the page that full-sized letters need, a cell of an edge's length, a slanted edge, a cell
to the left, a node met by an edge, two edges that cross, that leave a node almost together, or with too little room
for a label between them, a stranger within a cluster, an empty cell in one."""


class Demand(NamedTuple):
    """What a graph asks of a page, in points at full size: hashable, so that one graph is arranged once.

    `sizes` are widths and heights of the nodes, `edges` pairs of their indices, `labels` the widths and heights of what
    stands beside the edges, `clusters` sets of nodes that belong together, `gap` what lies between cells at least,
    `room` the page's width and height, and `largest` the size of letters, beside full size, that is large enough.
    """

    sizes: tuple[tuple[float, float], ...]
    edges: tuple[tuple[int, int], ...]
    labels: tuple[tuple[float, float], ...]
    clusters: tuple[tuple[int, ...], ...]
    gap: tuple[float, float]
    room: tuple[float, float]
    largest: float


@lru_cache(maxsize=64)
def cells(demand: Demand) -> tuple[tuple[int, int], ...]:
    """The column and the row of each node, from the left and from the top.

    >>> chain = Demand(((30, 20),) * 4, ((0, 1), (1, 2), (2, 3)), ((0, 0),) * 3, (), (20, 20), (90, 70), 1.0)
    >>> sorted(cells(chain))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    search = Search(demand)
    rng = np.random.default_rng(0)
    count, every = len(demand.sizes), search.columns * search.rows
    each = np.arange(ARRANGEMENTS)
    places = np.stack([rng.permutation(every)[:count] for _ in each])
    cost = search.cost(places)
    for temperature in np.geomspace(HOT, COLD, STEPS * count):
        node = rng.integers(count, size=ARRANGEMENTS)
        beside = search.beside(places, node, rng.random((3, ARRANGEMENTS)))
        goal = np.where(rng.random(ARRANGEMENTS) < ELSEWHERE, rng.integers(every, size=ARRANGEMENTS), beside)
        moved = _moved(places, node, goal)
        new = search.cost(moved)
        taken = new - cost < -temperature * np.log(rng.random(ARRANGEMENTS))
        places, cost = np.where(taken[:, None], moved, places), np.where(taken, new, cost)
    ends = [_descended(search, places[k], float(cost[k])) for k in np.argsort(cost, kind="stable")[:FINISHED]]
    arranged = [(search.dense(place), cost) for place, cost in ends]
    return min(arranged, key=lambda end: end[1] + MEETING * met(demand, end[0]))[0]


def met(demand: Demand, at: Sequence[tuple[int, int]]) -> int:
    """How many nodes edges pass over, once everything has its size: cells are not as regular as they count as."""
    scale, middles = placed(demand, at)
    centres, halves = np.array(middles), np.array(demand.sizes, float) / 2 * scale + CLEAR * scale
    ends = np.array(demand.edges, int).reshape(-1, 2)
    points = centres[ends[:, :1]] + np.linspace(0, 1, 60)[:, None] * (centres[ends[:, 1:]] - centres[ends[:, :1]])
    over = (np.abs(points[:, :, None] - centres) < halves).all(-1).any(1)
    over[np.arange(len(ends))[:, None], ends] = False
    return int(over.sum())


def _moved(places: Array, node: Array, goal: Array) -> Array:
    """Arrangements in which one node has gone to another cell, and who stood there to where it came from."""
    each = np.arange(len(places))
    source = places[each, node]
    moved = np.where(places == goal[:, None], source[:, None], places)
    moved[each, node] = goal
    return moved


def _descended(search: Search, place: Array, cost: float) -> tuple[Array, float]:
    """The arrangement reached by the best single moves, until none is better."""
    node, goal = np.indices((len(place), search.columns * search.rows)).reshape(2, -1)
    while True:
        moved = _moved(np.tile(place, (len(node), 1)), node, goal)
        costs = search.cost(moved)
        best = int(costs.argmin())
        if costs[best] > cost - 1e-9:
            return place, cost
        place, cost = moved[best], float(costs[best])


class _Tables(NamedTuple):
    """What can be said of cells alone, whatever graph stands in them."""

    edge: Array
    """(from, to): the cost of an edge's length and direction."""
    met: Array
    """(from, to, cell): whether an edge meets what stands there."""
    crossed: Array
    """(from, to, from, to): whether two edges cross."""
    cosine: Array
    """(node, to, to): the cosine of the angle between two edges of a node."""


@cache
def _tables(columns: int, rows: int) -> _Tables:
    number = np.arange(columns * rows)
    at = np.stack([number % columns, number // columns], axis=-1).astype(float)
    way = at - at[:, None]
    square = (way**2).sum(-1)
    length = np.sqrt(square)
    beside = way[:, :, None, 0] * way[:, None, :, 1] - way[:, :, None, 1] * way[:, None, :, 0]
    edge = LENGTH * (length - 1) + LEFTWARDS * np.maximum(-way[..., 0], 0) + SLANTED * (way != 0).all(-1)
    with np.errstate(invalid="ignore"):
        along = np.einsum("fta,fca->ftc", way, way)
        cosine = along / (length[..., None] * length[:, None])
    breadth = BREADTH * np.abs(way).sum(-1)
    met = (along > 0) & (along < square[..., None]) & (np.abs(beside) < breadth[..., None])
    turn = np.sign(beside).astype(np.int8)
    parted = turn[:, :, :, None] * turn[:, :, None, :] < 0  # (from, to, c, d): c and d lie on either side of the edge
    return _Tables(edge, met, parted & parted.transpose(2, 3, 0, 1), cosine)


class Search:
    """What an arrangement costs; arrangements come as one number for each node's cell, many at once."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.rows = math.ceil(math.sqrt(len(demand.sizes)))
        self.columns = math.ceil(1.5 * math.sqrt(len(demand.sizes)))
        self.tables = _tables(self.columns, self.rows)
        ends = np.array(demand.edges, int).reshape(-1, 2)
        self.tails, self.heads = ends.T
        near = [[a + b - n for a, b in demand.edges if n in (a, b)] or [n] for n in range(len(demand.sizes))]
        self.degree = np.array([len(row) for row in near])
        self.near = np.array([row + row[:1] * (max(self.degree) - len(row)) for row in near])
        nodes = range(len(demand.sizes))
        strangers = [(e, n) for e, (tail, head) in enumerate(demand.edges) for n in nodes if n not in (tail, head)]
        self.strangers = np.array(strangers, int).reshape(-1, 2).T
        pairs = list(combinations(demand.edges, 2))
        apart = [(*first, *second) for first, second in pairs if not {*first} & {*second}]
        self.apart = np.array(apart, int).reshape(-1, 4).T
        forks = [(node, *({*first, *second} - {node})) for first, second in pairs for node in {*first} & {*second}]
        self.forks = np.array([fork for fork in forks if len(fork) == 3], int).reshape(-1, 3).T
        labelled = any(width for width, _ in demand.labels)
        self.fork = NARROW * (self.tables.cosine > 0.9) + TIGHT * labelled * (self.tables.cosine > 0.7)
        self.clusters = [np.isin(nodes, members) for members in demand.clusters]

    def beside(self, places: Array, node: Array, chance: Array) -> Array:
        """A cell beside a neighbour of each node, or where that one stands."""
        near = self.near[node, (chance[0] * self.degree[node]).astype(int)]
        column, row = np.divmod(places[np.arange(len(places)), near], self.columns)[::-1]
        column = np.clip(column + (3 * chance[1]).astype(int) - 1, 0, self.columns - 1)
        row = np.clip(row + (3 * chance[2]).astype(int) - 1, 0, self.rows - 1)
        return np.asarray(row * self.columns + column)

    def dense(self, place: Array) -> tuple[tuple[int, int], ...]:
        """The column and the row of each node, without empty ones between them."""
        axes = (place % self.columns, place // self.columns)
        columns, rows = (np.unique(axis, return_inverse=True)[1].tolist() for axis in axes)
        return tuple(zip(columns, rows, strict=True))

    def cost(self, places: Array) -> Array:
        """The cost of each arrangement."""
        tables = self.tables
        tail, head = places[:, self.tails], places[:, self.heads]
        edge, stranger = self.strangers
        a, b, c, d = (places[:, ends] for ends in self.apart)
        node, first, second = (places[:, ends] for ends in self.forks)
        total = tables.edge[tail, head].sum(-1)
        total += MEETING * tables.met[tail[:, edge], head[:, edge], places[:, stranger]].sum(-1)
        total += CROSSING * tables.crossed[a, b, c, d].sum(-1) + self.fork[node, first, second].sum(-1)
        at = np.stack([places % self.columns, places // self.columns], axis=-1)
        for members in self.clusters:
            total += self._scattered(at, members)
        needed = np.maximum(self._needed(at), 1 / self.demand.largest)
        return np.asarray(np.round(total + LETTERS * needed, 6))  # equal costs are equal on every machine

    def _scattered(self, at: Array, members: Array) -> Array:
        """What is wrong with a cluster: strangers among its members, and empty cells."""
        own = at[:, members]
        low, high = own.min(1), own.max(1)
        inside = ((at >= low[:, None]) & (at <= high[:, None])).all(-1)
        strangers = (inside & ~members).sum(-1)
        area = (high - low + 1).prod(-1)
        return np.asarray(FOREIGN * strangers + SPREAD * (area - members.sum()))

    def _needed(self, at: Array) -> Array:
        """How much of the page's width or height letters of full size need."""
        shares = []
        for axis, count in enumerate((self.columns, self.rows)):
            low, high = reaches(self.demand, at, axis, count)
            shares.append(((low + high).sum(-1) - self.demand.gap[axis]) / self.demand.room[axis])
        return np.asarray(np.maximum(*shares))


def reaches(demand: Demand, at: Array, axis: int, count: int) -> tuple[Array, Array]:
    """How far each column (axis 0) or row (axis 1) reaches to either side of its middle, gaps and labels included.

    A label stands to the right of a line upwards, to the left of one downwards, and below one to the right.
    """
    half, labels, tails, heads = _asked(demand, axis)
    tail, head = at[:, tails], at[:, heads]
    start, end = tail[..., axis], head[..., axis]
    way = end - start
    across = np.sign(head[..., 1 - axis] - tail[..., 1 - axis]) * (1 if axis else -1)
    beside, along = (way == 0) * across, (across == 0) * np.where(np.abs(way) == 1, way, 0)
    numbers = np.arange(count)
    node = np.where(at[..., axis, None] == numbers, (half + demand.gap[axis] / 2)[:, None], 0).max(1)
    sides = []
    for sign in (-1, 1):
        # a label beside a line, and one that needs the length of a line along the axis
        size = np.where(beside == sign, labels, np.where(along == sign, half[tails] + labels / 2, 0))
        ends = np.where(along == -sign, half[heads] + labels / 2, 0)
        asked = [(cell[..., None] == numbers) * room[..., None] for cell, room in ((start, size), (end, ends))]
        sides.append(np.maximum(node, np.maximum(*asked).max(1, initial=0)))
    low, high = sides
    return low, high


@lru_cache(maxsize=256)
def _asked(demand: Demand, axis: int) -> tuple[Array, Array, Array, Array]:
    """Half the nodes' sizes, and the sizes of the labels with the ends of their edges."""
    written = [k for k, label in enumerate(demand.labels) if label[axis]]
    labels = np.array([demand.labels[k][axis] for k in written], float)
    tails, heads = np.array([demand.edges[k] for k in written], int).reshape(-1, 2).T
    return np.array(demand.sizes, float)[:, axis] / 2, labels, tails, heads


class Placed(NamedTuple):
    """Where the nodes stand on an area, in points; y grows upwards. `scale` is the size of letters beside full size."""

    scale: float
    nodes: tuple[Array, ...]


def placed(demand: Demand, at: Sequence[tuple[int, int]], widest: float = 6.0) -> Placed:
    """The middle of each node, for nodes in given cells: letters as large as fit, then the cells as far apart."""
    places = np.array(at, int)
    sides = [reaches(demand, places[None], axis, int(places[:, axis].max()) + 1) for axis in (0, 1)]
    whole = [float((low + high).sum()) - gap for (low, high), gap in zip(sides, demand.gap, strict=True)]
    scale = min(demand.largest, *(room / size for room, size in zip(demand.room, whole, strict=True)))
    middles = []
    for (low, high), room, size, gap in zip(sides, demand.room, whole, demand.gap, strict=True):
        steps = (high[0, :-1] + low[0, 1:]) * scale
        free = room - size * scale
        wider = min(free / (len(steps) + 1), (widest - 1) * scale * gap)
        first = (free - wider * len(steps)) / 2 + (low[0, 0] - gap / 2) * scale
        middles.append(first + np.concatenate([[0.0], np.cumsum(steps + wider)]))
    x, y = middles
    return Placed(scale, tuple(np.array([x[column], demand.room[1] - y[row]]) for column, row in places))
