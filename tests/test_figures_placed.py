"""The graphs whose nodes are placed by hand: every number and every line by another way, and nothing that jumps."""

import cmath
import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import sympy as sp
from conftest import some
from looks import SPOKEN
from matplotlib.patches import Rectangle

from bncheck import LAYERS, Layer
from bncheck.bugs.catalogue import BUGS
from bncheck.case import Array
from bncheck.figures import find, graph_fold, graph_train_eval, graph_two_neurons
from bncheck.figures.studio.chain import Chain
from bncheck.figures.studio.diagram import Diagram
from bncheck.figures.studio.group import column, number, small_case
from bncheck.figures.studio.look import PRESETS, THEMES, Look
from bncheck.figures.studio.page import Page
from bncheck.figures.studio.structure import flaws, small_print
from bncheck.oracles import ball
from bncheck.oracles.symbolic.derivation import Derivation, derive
from bncheck.oracles.symbolic.sums import is_zero
from bncheck.oracles.symbolic.symbols import gradient_symbol, replace_indexed

NAMES = ("graph-fold", "graph-train-eval", "graph-two-neurons")
seeds = pytest.mark.parametrize("seed", range(3))
layers = pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS.values() if layer.is_plain], ids=lambda layer: layer.name
)


def words_on(page: Page) -> list[str]:
    return [text.get_text() for text in page.axes[0].texts]


def readable(name: str, look: Look, **more: Any) -> list[str]:
    page = find(name).draw(look, **more)
    return flaws(page) + small_print(page)


@pytest.mark.parametrize("preset", ["beamer169", "half"])
@pytest.mark.parametrize("name", NAMES)
def test_everything_is_read_from_the_last_row(name: str, preset: str) -> None:
    assert readable(name, Look(preset)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "lang", "preset"), some(product(THEMES, SPOKEN), [*PRESETS]))
def test_so_in_every_look_and_frame(theme: str, lang: str, preset: str) -> None:
    for name in NAMES:
        for more in [{"frame": k} for k in range(1, 7)] if name == "graph-fold" else [{}]:
            assert readable(name, Look(preset, theme, lang), **more) == [], (name, more)


@pytest.mark.slow
@layers
def test_so_for_every_layer_that_folds(layer: Layer) -> None:
    for frame in range(1, graph_fold.frames(layer=layer) + 1):
        for preset in ("beamer169", "half"):
            assert readable("graph-fold", Look(preset), layer=layer, frame=frame) == [], (frame, preset)


def written_out(derivation: Derivation, line: Any) -> Any:
    """A right-hand side in the inputs and dy alone."""
    for name in derivation.steps:
        if name != "y":
            symbol = gradient_symbol(derivation.symbol(name))
            line = replace_indexed(line, symbol, derivation.chain_rule[f"d{name}"])
    return derivation.in_inputs(line)


@layers
def test_every_line_of_the_fold_is_proved(layer: Layer) -> None:
    """In each frame the line of x is the direct derivative, and all others are the chain rule's, for every size."""
    derivation = derive(layer)
    every = graph_fold.stages(derivation)
    assert len(every) == (6 if "mean" in derivation.steps else 4)
    for stage in every:
        assert is_zero(written_out(derivation, stage.lines["dx"].whole) - derivation.direct["dx"])
        for name, right in derivation.chain_rule.items():
            assert is_zero(written_out(derivation, stage.lines[name].whole - right)), name
    assert not is_zero(written_out(derivation, 2 * every[-1].lines["dx"].whole) - derivation.direct["dx"])
    assert [str(s) for s in every[-1].lines["dx"].whole.atoms(sp.Indexed) if str(s.base) == "dy"] != []
    assert sum(stage.changed != "dx" for stage in every) == len(every) - len(every[-1].folded) - 1


@layers
def test_what_stands_in_a_place_is_what_stood_there(layer: Layer) -> None:
    """Term by term, so that the colour of a path is right in every frame; in another place it would be wrong."""
    derivation = derive(layer)
    for before, after in pairwise(graph_fold.stages(derivation)):
        for name, line in after.lines.items():
            old = before.lines[name]
            for term, other in zip(line.terms, old.terms, strict=True):
                assert is_zero(written_out(derivation, line.factor * term - old.factor * other)), (name, term)
    first, second, *_ = line_of_x = graph_fold.stages(derivation)[-1].lines["dx"].terms
    assert len(line_of_x) == len(graph_fold.paths(derivation)) + 1
    assert not is_zero(written_out(derivation, first - second))


def test_terms_stay_where_they_were() -> None:
    """What two frames in a row both show, and nothing else that reads the same, stands at the same spot in both."""
    pages = [graph_fold.draw(frame=frame) for frame in range(1, 7)]
    for before, after in pairwise(pages):
        spots = [{text.get_text(): text.get_position() for text in page.axes[0].texts} for page in (before, after)]
        counts = [Counter(words_on(page)) for page in (before, after)]
        shared = [words for words in spots[0] if counts[0][words] == counts[1][words] == 1]
        assert len(shared) >= 12
        assert [words for words in shared if spots[0][words] != spots[1][words]] == []
    texts = {text.get_text(): text.get_position() for text in pages[0].axes[0].texts}
    assert texts["$x$"] != texts["$y$"]


def way(diagram: Diagram, direction: str) -> set[tuple[str, str]]:
    return {(arrow.tail, arrow.head) for arrow in diagram.arrows if getattr(arrow, direction)}


def test_the_graph_of_the_fold() -> None:
    """There always as the layer computes; back what the lines of the frame name."""
    derivation = derive(LAYERS["batch_norm"])
    graphs = [graph_fold.steps(derivation, stage) for stage in graph_fold.stages(derivation)]
    there = {
        ("x", "mean"),
        ("x", "var"),
        ("mean", "var"),
        ("x", "xhat"),
        ("mean", "xhat"),
        ("var", "xhat"),
        ("xhat", "y"),
    }
    assert [way(graph, "forward") for graph in graphs] == [there] * 6
    back = [way(graph, "backward") for graph in graphs]
    gone = [
        {("mean", "var")},
        {("x", "mean"), ("mean", "xhat")},
        {("x", "var"), ("var", "xhat")},
        {("x", "xhat"), ("xhat", "y")},
    ]
    assert back[0] == there
    assert [before - after for before, after in pairwise(back)] == [*gone, set()]
    assert back[-1] == {("x", "y")}
    roles = {(arrow.tail, arrow.head): arrow.role for arrow in graphs[0].arrows}
    assert roles["x", "mean"] == roles["mean", "xhat"] == "mean_path"
    assert roles["x", "var"] == roles["mean", "var"] == roles["var", "xhat"] == "variance_path"
    assert (roles["x", "xhat"], roles["xhat", "y"]) == ("direct", "backward")


def test_what_changes_is_bracketed_in_the_colour_of_its_path() -> None:
    look = Look()
    expected: list[list[str]] = [
        [],
        ["mean_path"],
        ["mean_path"],
        ["variance_path"],
        ["direct", "variance_path", "mean_path"],
    ]
    for frame, roles in enumerate(expected, start=1):
        assert brackets(graph_fold.draw(look, frame=frame)) == [look.colour(role) for role in roles], frame
    (box,) = (p for p in graph_fold.draw(look, frame=6).axes[0].patches if isinstance(p, Rectangle))
    assert box.get_height() > 40
    assert brackets(graph_fold.draw(look, frame=6)) == []


def brackets(page: Page) -> list[str]:
    """The colours of open lines through four corners."""
    from matplotlib.colors import to_hex
    from matplotlib.patches import PathPatch

    patches = [patch for patch in page.axes[0].patches if isinstance(patch, PathPatch)]
    return [to_hex(patch.get_edgecolor()) for patch in patches if np.shape(patch.get_path().vertices) == (4, 2)]


def fourth_root(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    centred = x - mean(x)
    square = mean(centred * centred)
    xhat = centred / sqrt(sqrt(square + eps))
    return {"centred": centred, "square": square, "xhat": xhat, "y": gamma * xhat}


def shifted(x: Any, beta: Any = 0, eps: Any = 1e-5, *, mean: Any) -> Any:
    return {"y": x - mean(x) + beta}


@pytest.mark.parametrize("definition", [fourth_root, shifted])
def test_definitions_of_ones_own_fold_as_well(definition: Any) -> None:
    layer = Layer(definition, LAYERS["batch_norm"].layouts)
    derivation = derive(layer)
    for frame, stage in enumerate(graph_fold.stages(derivation), start=1):
        assert is_zero(written_out(derivation, stage.lines["dx"].whole) - derivation.direct["dx"])
        assert flaws(graph_fold.draw(layer=layer, frame=frame)) == []


@seeds
def test_the_store_holds_what_torch_stores(seed: int) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm1d(1, momentum=graph_train_eval.NEW_WEIGHT, dtype=torch.float64)
    case = small_case(LAYERS["batch_norm"], seed)
    layer(torch.from_numpy(case.x.copy()))
    mean, var = graph_train_eval.training(case).store
    assert mean == pytest.approx(layer.running_mean.item(), rel=1e-14)
    assert var == pytest.approx(layer.running_var.item(), rel=1e-14)


@seeds
def test_numbers_in_training_and_evaluation(seed: int) -> None:
    """As they are drawn, by the ball oracle and by the formulas written out."""
    case = small_case(LAYERS["batch_norm"], seed)
    x, dxhat = case.x.ravel(), (case.parameters["gamma"] * case.dy).ravel()
    mu, var = x.mean(), x.var()
    s = np.sqrt(var + case.eps)
    stored = 0.9 + 0.1 * var * 4 / 3
    expected: dict[str, Array] = {
        "x": x,
        "dx": ball.vjp(LAYERS["batch_norm"], case)["dx"].value.ravel(),
        "frozen": dxhat / np.sqrt(stored + case.eps),
        "dy": case.dy.ravel(),
        "batch": np.array([mu, var]),
        "back": np.array([-dxhat.sum() / s, -0.5 * (dxhat * (x - mu)).sum() / s**3]),
        "store": np.array([0.1 * mu, stored]),
    }
    twice = ("x", "dy", "store")
    shown = Counter(text for name, values in expected.items() for text in column(values) * (1 + (name in twice)))
    words = Counter(word for word in words_on(graph_train_eval.draw(seed=seed)) if re.fullmatch(r"−?\d+(\.\d+)?", word))
    assert words == shown
    alone = BUGS["statistics-constant"].vjp(case, LAYERS["batch_norm"])["dx"].ravel()
    assert np.allclose(expected["frozen"] * np.sqrt(stored + case.eps), alone * s), "but for the scale: what is direct"
    assert column(expected["frozen"]) != column(expected["dx"])


def test_no_gradient_goes_through_the_store() -> None:
    """Nor in evaluation through the batch, which is there only faintly and without numbers."""
    case = small_case(LAYERS["batch_norm"], 0)
    training, evaluation = (
        graph_train_eval.graph(step(case)) for step in (graph_train_eval.training, graph_train_eval.evaluation)
    )
    assert way(training, "forward") == way(evaluation, "forward")
    for graph in (training, evaluation):
        assert not any(arrow.backward for arrow in graph.arrows if "store" in (arrow.tail, arrow.head))
        assert graph.cells == training.cells
    faint = [{(a.tail, a.head) for a in graph.arrows if a.faint} for graph in (training, evaluation)]
    assert faint == [{("store", "xhat")}, {("x", "batch"), ("batch", "xhat"), ("batch", "store")}]
    (batch,) = (vertex for vertex in evaluation.vertices if vertex.key == "batch")
    assert (batch.faint, batch.values, batch.gradients) == (True, (), ())


def test_both_halves_have_the_same_coordinates() -> None:
    page = graph_train_eval.draw()
    spots = {label: [t.get_position() for t in page.axes[0].texts if t.get_text() == label] for label in ("$x$", "$y$")}
    (left, x), (right, x_too) = spots["$x$"]
    (shift,) = {round(b[0] - a[0], 9) for a, b in spots.values()}
    assert (x, round(right - left, 9)) == (x_too, shift)
    assert shift > page.body[2] / 2


@seeds
def test_two_neurons_by_complex_steps(seed: int) -> None:
    chain = Chain.of(seed)

    def cost(values: Mapping[str, complex]) -> complex:
        a1 = 1 / (1 + cmath.exp(-values["w1"] * values["x"] - values["b1"]))
        return (1 / (1 + cmath.exp(-values["w2"] * a1 - values["b2"]))) ** 2

    chosen: dict[str, complex] = {name: chain.values[name] for name in graph_two_neurons.CHOSEN}
    assert cost(chosen).real == pytest.approx(chain.values["C"], rel=1e-14)
    for name in chosen:
        moved = cost({**chosen, name: chosen[name] + 1e-30j}).imag / 1e-30
        assert chain.gradients[name] == pytest.approx(moved, rel=1e-13), name
    for name in ("z1", "a1", "z2", "a2", "C"):
        assert chain.gradients[name] > 0


def slope(z: float) -> float:
    return (1 / (1 + cmath.exp(-(z + 1e-30j)))).imag / 1e-30


@seeds
def test_factors_of_two_neurons_as_they_are_written(seed: int) -> None:
    """Each factor from the values by complex steps; under ∂C/∂w its factors' product."""
    chain, page = Chain.of(seed), graph_two_neurons.draw(seed=seed)
    words, v = words_on(page), chain.values
    outer = [2 * v["a2"], slope(v["z2"])]
    ways = {"w2": [*outer, v["a1"]], "w1": [*outer, v["w2"], slope(v["z1"]), v["x"]]}
    expected = [f"{value:.4f}" for factors in ways.values() for value in (math.prod(factors), *factors)]
    assert [text for text in words if re.fullmatch(r"−?\d+\.\d{4}", text)] == expected
    below = [*(v[name] for name in v if name not in graph_two_neurons.CHOSEN), *chain.gradients.values()]
    shown = [text for text in words if re.fullmatch(r"−?\d+\.\d{3}", text)]
    assert sorted(shown) == sorted(number(value, 3) for value in below)
    chosen = [text for text in words if re.fullmatch(r"−?\d+\.\d", text)]
    assert sorted(chosen) == sorted(f"{v[name]:.1f}" for name in graph_two_neurons.CHOSEN)


def test_what_is_shaded_is_what_a_sigmoid_gives() -> None:
    """At most a quarter, whatever the seed, and no other factor is."""
    for chain in map(Chain.of, range(50)):
        for step, factor in chain.factors.items():
            z = {"z1": chain.values["z1"], "z2": chain.values["z2"]}.get(step[0])
            assert (z is not None) == (step in graph_two_neurons.SIGMOIDS)
            assert z is None or (factor == pytest.approx(slope(z), rel=1e-13) and factor <= 0.25)
    assert max(max(Chain.of(seed).factors.values()) for seed in range(50)) > 1
    axes = graph_two_neurons.draw().axes[0]
    shades = [patch.get_extents() for patch in axes.patches if type(patch) is Rectangle]
    inside = [
        t.get_text() for t in axes.texts if any(s.contains(*axes.transData.transform(t.get_position())) for s in shades)
    ]
    assert sorted(text for text in inside if "$" in text) == [r"$\sigma'(z_1)$", *[r"$\sigma'(z_2)$"] * 2]
    assert len(inside) == 6
