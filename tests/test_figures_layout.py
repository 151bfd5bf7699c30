"""Graphs as they are drawn: every edge is seen from end to end, and every letter can be read."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import some
from looks import SPOKEN, spoken
from matplotlib.patches import FancyBboxPatch, PathPatch

from bncheck import LAYERS, Layer
from bncheck.case import Array
from bncheck.figures import find
from bncheck.figures.studio import diagram, layout
from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
from bncheck.figures.studio.look import PRESETS, About, Look, Words
from bncheck.figures.studio.page import Page, new_page
from bncheck.figures.studio.structure import flaws, small_print

PLAIN = [layer for layer in LAYERS.values() if layer.is_plain]
GRAPHS = ("graph-values", "graph-staged", "graph-check", "graph-sweep", "graph-three-paths")
ABOUT = About(Words("Title", "标题"), Words("Read.", "读。"), Words("Foot.", "脚注。"))


def skewness(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    """13 nodes, three statistics, one of them of a third power."""
    mu = mean(x)
    cube = mean((x - mu) * (x - mu) * (x - mu))
    spread = sqrt(mean((x - mu) * (x - mu)) + eps)
    return {"mean": mu, "third": cube, "y": gamma * ((x - mu) / spread - cube)}


OWN = Layer(skewness, LAYERS["batch_norm"].layouts)


def tangles(page: Page) -> list[str]:
    """What is wrong with the edges of a page: lines that come too near to one another, or pass over a node."""
    lines = list(drawn(page))
    boxes = [np.asarray(patch.get_path().vertices) for patch in page.axes[0].patches if is_node(patch)]
    said = [
        f"lines at {first[0].round()} and {second[0].round()} meet"
        for k, first in enumerate(lines)
        for second in lines[k + 1 :]
        if nearest(first, second) < 1.2 * page.look.scale
    ]
    for line in lines:
        points = line[0] + np.linspace(0, 1, 200)[:, None] * (line[1] - line[0])
        inside = [np.all((points > box.min(axis=0)) & (points < box.max(axis=0)), axis=1).any() for box in boxes]
        said += [f"the line from {line[0].round()} passes over a node"] * sum(inside)
    return said


def drawn(page: Page) -> Iterator[Array]:
    for patch in page.axes[0].patches:
        if isinstance(patch, PathPatch) and patch.get_gid() == "edge":
            yield np.asarray(patch.get_path().vertices)


def is_node(patch: Any) -> bool:
    return isinstance(patch, FancyBboxPatch) and patch.get_zorder() == 4 and patch.get_gid() is None


def nearest(first: Array, second: Array) -> float:
    """The least distance between two straight lines' points."""
    shares = np.linspace(0, 1, 120)[:, None]
    one, other = (line[0] + shares * (line[1] - line[0]) for line in (first, second))
    return float(np.hypot(*(one[:, None] - other).T).min())


@lru_cache(maxsize=64)
def page_of(name: str, look: Look, layer: Layer) -> Page:
    more = {"frame": 6} if name == "graph-sweep" else {}
    page: Page = find(name).draw(look, 0, layer=layer, **more)
    return page


def clean(name: str, look: Look, layer: Layer) -> None:
    page = page_of(name, look, layer)
    assert (tangles(page), flaws(page), small_print(page)) == ([], [], [])


@pytest.mark.parametrize("look", spoken([Look(), Look("half", "dark", "zh")]), ids=lambda look: look.preset)
@pytest.mark.parametrize("name", GRAPHS)
def test_edges_are_free_and_letters_large(name: str, look: Look) -> None:
    clean(name, look, LAYERS["batch_norm"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "preset"), some(product(GRAPHS, [layer.name for layer in PLAIN]), [*PRESETS])
)
def test_so_on_every_page_for_every_layer(name: str, layer: str, preset: str) -> None:
    for lang in SPOKEN:
        clean(name, Look(preset, "light", lang), LAYERS[layer])


@pytest.mark.parametrize("preset", ["beamer169", "half"])
def test_so_for_a_definition_of_ones_own(preset: str) -> None:
    clean("graph-staged", Look(preset), OWN)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"a": (0, 0), "b": (1, 0), "c": (2, 0), "d": (0, 1)}, "passes over a node"),
        ({"a": (0, 0), "c": (1, 1), "b": (0, 1), "d": (1, 0)}, "meet"),
    ],
)
def test_a_tangle_would_show(cells: dict[str, tuple[int, int]], said: str) -> None:
    assert any(said in line for line in tangles(four(cells)))
    assert tangles(four({})) == []


def four(cells: dict[str, tuple[int, int]]) -> Page:
    """Two edges between four nodes."""
    vertices = tuple(Vertex(key, f"${key}$", key) for key in "abcd")
    with new_page(ABOUT, Look(), 0) as page:
        diagram.draw(page, Diagram(vertices, (Arrow("a", "c"), Arrow("b", "d")), cells=cells))
    return page


@pytest.mark.parametrize("name", GRAPHS[:4])
def test_each_edge_of_a_graph_is_drawn_forwards(name: str) -> None:
    """As many solid lines as edges, whatever is known of the gradients."""
    page = page_of(name, Look(), LAYERS["batch_norm"])
    solid = [patch for patch in page.axes[0].patches if isinstance(patch, PathPatch) and patch.get_linestyle() == "-"]
    assert len(solid) == 13


def demand(**more: Any) -> layout.Demand:
    """A diamond with a tail."""
    edges = ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    whole = layout.Demand(((30, 20),) * 5, edges, ((0, 0),) * 5, (), (20, 20), (200, 120), 1.0)
    return whole._replace(**more)


def test_the_same_graph_has_the_same_places() -> None:
    first = layout.cells(demand())
    layout.cells.cache_clear()
    assert layout.cells(demand()) == first


@pytest.mark.parametrize(
    ("places", "better"),
    [
        (((0, 0), (1, 0), (2, 0), (3, 0), (3, 1)), ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1))),  # over a node
        (((2, 0), (1, 0), (2, 1), (1, 1), (0, 1)), ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1))),  # to the left
        (((0, 0), (1, 0), (0, 1), (2, 1), (3, 2)), ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1))),  # aslant
    ],
)
def test_what_costs(places: tuple[tuple[int, int], ...], better: tuple[tuple[int, int], ...]) -> None:
    search = layout.Search(demand())
    worse, best = (search.cost(np.array([[x + y * search.columns for x, y in at]]))[0] for at in (places, better))
    assert worse > best + 0.5


def test_the_largest_letters_that_fit() -> None:
    """Half the room, half the letters; never larger than asked for."""
    at = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1))
    whole = layout.placed(demand(room=(130, 60)), at)
    assert whole.scale == pytest.approx(1.0)
    assert layout.placed(demand(room=(65, 30)), at).scale == pytest.approx(0.5)
    assert layout.placed(demand(room=(1300, 600)), at).scale == 1.0
    assert all(np.all((at > 0) & (at < (130, 60))) for at in whole.nodes)


def test_a_label_beside_an_edge_gets_room() -> None:
    at = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1))
    bare = layout.placed(demand(room=(130, 60)), at)
    labelled = layout.placed(demand(room=(130, 60), labels=((60, 10), *((0, 0),) * 4)), at)
    assert labelled.scale < 0.9 * bare.scale
