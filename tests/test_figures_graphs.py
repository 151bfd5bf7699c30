"""Every number on a computation graph is found again by another oracle, and every formula by another way."""

import cmath
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from bncheck import LAYERS, Case, InvalidInput, Layer
from bncheck.bugs.catalogue import BUGS
from bncheck.case import Array
from bncheck.figures import (
    find,
    graph_check,
    graph_fold,
    graph_sweep,
    graph_three_paths,
    graph_train_eval,
    names,
)
from bncheck.figures.graph_two_neurons import Chain
from bncheck.figures.studio.computation import Computation, computation
from bncheck.figures.studio.diagram import Vertex
from bncheck.figures.studio.group import column, number, numbered, small_case
from bncheck.figures.studio.look import Look
from bncheck.oracles import ball
from bncheck.oracles.graph import sweep
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.sums import is_zero
from bncheck.oracles.symbolic.symbols import gradient_symbol, replace_indexed

SEEDS = range(3)
layers = pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS.values() if layer.is_plain], ids=lambda layer: layer.name
)
seeds = pytest.mark.parametrize("seed", SEEDS)


def by_hand(case: Case, *, centred: bool) -> dict[str, Array]:
    """The forward pass, and the paper's equations for the gradients of everything that has a name."""
    axes = case.layout.reduced_axes
    gamma, beta = (case.broadcast_parameters().get(name, default) for name, default in (("gamma", 1), ("beta", 0)))
    mu = case.x.mean(axes, keepdims=True) if centred else 0 * case.x.mean(axes, keepdims=True)
    var = ((case.x - mu) ** 2).mean(axes, keepdims=True)
    s = np.sqrt(var + case.eps)
    dxhat = case.dy * gamma
    dvar = (dxhat * (case.x - mu) * -0.5 * s**-3.0).sum(axes, keepdims=True)
    values = {"x": case.x, "mean": mu, "var": var, "xhat": (case.x - mu) / s}
    values["y"] = gamma * values["xhat"] + beta
    gradients = {"dy": case.dy, "dxhat": dxhat, "dvar": dvar, "dmean": -(dxhat / s).sum(axes, keepdims=True)}
    return {**values, **gradients, "mean_square": var, "dmean_square": dvar}


@layers
@seeds
def test_values_and_gradients_on_the_nodes(layer: Layer, seed: int) -> None:
    case = small_case(layer, seed)
    shown = {vertex.key: vertex for vertex in numbered(layer, Look(), seed).vertices}
    truth = ball.vjp(layer, case)
    for name in ("x", *case.parameters):
        assert shown[name].below == column(truth[f"d{name}"].value), name
    assert shown["y"].above == column(truth["y"].value)
    found = by_hand(case, centred=layer.name != "rms_norm")
    for name in (name for name in shown if f"d{name}" in found):
        assert shown[name].above == column(found[name]), name
        assert shown[name].below == column(found[f"d{name}"]), name


@seeds
def test_values_and_gradients_of_the_steps_between(seed: int) -> None:
    """The nodes that have no name, by the chain rule written out."""
    layer = LAYERS["batch_norm"]
    case = small_case(layer, seed)
    known = by_hand(case, centred=True)
    gamma, s = case.broadcast_parameters()["gamma"], np.sqrt(known["var"] + case.eps)
    deviation = case.x - known["mean"]
    square = np.full(case.x.shape, known["dvar"] / case.count)
    expected = {
        "x − μ": (deviation, known["dxhat"] / s + 2 * deviation * square),
        "(x − μ)²": (deviation**2, square),
        "σ² + ε": (known["var"] + case.eps, known["dvar"]),
        "s = √(σ² + ε)": (s, known["dvar"] * 2 * s),
        "γ·x̂": (gamma * known["xhat"], case.dy),
    }
    shown = {vertex.typed: vertex for vertex in numbered(layer, Look(), seed).vertices if vertex.kind == "step"}
    assert set(shown) == set(expected)
    for typed, (value, gradient) in expected.items():
        assert (shown[typed].above, shown[typed].below) == (column(value), column(gradient)), typed


@seeds
def test_what_is_drawn_is_what_was_numbered(seed: int) -> None:
    """And of a sweep's frame, the gradients known by then."""
    layer = LAYERS["batch_norm"]
    vertices = numbered(layer, Look(), seed).vertices
    every = sorted(text for vertex in vertices for text in (vertex.above, vertex.below))
    last = graph_sweep.frames(layer=layer)
    for page in (find("graph-values").draw(seed=seed), graph_sweep.draw(seed=seed, frame=last)):
        assert sorted(text for text in numbers_on(page) if text in every) == every
    early = {text for text in numbers_on(graph_sweep.draw(seed=seed, frame=1)) if text in every}
    assert early == {vertex.above for vertex in vertices} | {vertices[-1].below}


def numbers_on(page: Figure) -> list[str]:
    return [text.get_text() for text in page.axes[0].texts]


def test_another_gradient_would_show() -> None:
    """The comparison above can fail: one digit of one number is enough."""
    assert column(np.array([0.004, 1.0])) != column(np.array([0.006, 1.0]))
    assert number(-0.0) == "0.00"


@layers
def test_local_derivatives_on_the_edges(layer: Layer) -> None:
    """What is written on an edge, computed with the numbers of the nodes, gives what the sweep sends along it."""
    case = small_case(layer, 0)
    done, found = sweep(layer, case), computation(layer)
    for node in found.nodes:
        consumers = [consumer for operand, consumer in found.edges() if operand is node]
        if consumers:
            sent = [done.gradients[c] * evaluated(found, done.values, node, c, case.count) for c in consumers]
            total = sum(over_what_was_shared(part, done.values[node]) for part in sent)
            np.testing.assert_allclose(total, done.gradients[node], rtol=1e-12, atol=1e-12)


def evaluated(found: Computation, values: Mapping[Any, Any], node: Any, consumer: Any, count: int) -> Any:
    typed = found.local_derivative(node, consumer).typed.replace("−", "-").replace("²", "**2").replace("·", "*")
    known = {"x̂": "xhat", "σ**2": "var", "μ": "mu", "ρ": "rho", "γ": "gamma", "β": "beta", "ε": "eps"}
    for letter, name in known.items():
        typed = typed.replace(letter, name)
    typed = re.sub(r"(?<=\d)(?=[(a-z])", "*", typed)
    names = {found.formulas[n].typed.replace("σ²", "σ**2"): n for n in found.nodes}
    scope = {known.get(text, text): values[n] for text, n in names.items() if known.get(text, text).isidentifier()}
    return eval(typed, {"m": count, **scope})  # what is evaluated was written here


def over_what_was_shared(part: Array, value: Array) -> Array:
    part = part * np.ones(np.broadcast_shapes(np.shape(part), np.shape(value)))
    axes = tuple(k for k, size in enumerate(np.shape(value)) if size != part.shape[k])
    return np.asarray(part.sum(axis=axes, keepdims=True))


@layers
@seeds
def test_the_ways_back_add_up(layer: Layer, seed: int) -> None:
    case = small_case(layer, seed)
    found = graph_three_paths.paths(layer, case)
    centred = layer.name != "rms_norm"
    assert list(found) == (["direct", "mean", "var"] if centred else ["direct", "mean_square"])
    dx = ball.vjp(layer, case)["dx"].value
    np.testing.assert_allclose(sum(found.values()), dx, rtol=1e-13, atol=1e-13)
    without = BUGS["statistics-constant"].vjp(case, layer)["dx"]
    np.testing.assert_allclose(found["direct"], without, rtol=1e-13)
    if centred:
        without_mean = BUGS["mean-path-missing"].vjp(case, layer)["dx"]
        np.testing.assert_allclose(found["direct"] + found["var"], without_mean, rtol=1e-13, atol=1e-13)
        assert abs(found["mean"]).min() > 0.01  # or the figure would show nothing


@seeds
def test_the_table_of_ways(seed: int) -> None:
    """Every row as it is written: what goes straight back and through each statistic, and their sum."""
    layer = LAYERS["batch_norm"]
    case = small_case(layer, seed)
    dx = ball.vjp(layer, case)["dx"].value
    direct = BUGS["statistics-constant"].vjp(case, layer)["dx"]
    through_var = BUGS["mean-path-missing"].vjp(case, layer)["dx"] - direct
    columns = [values.ravel() for values in (direct, dx - direct - through_var, through_var, dx)]
    words = numbers_on(graph_three_paths.draw(seed=seed))
    written = [[float(text.replace("−", "-")) for text in words if re.fullmatch(r"−?\d+\.\d+", text)]]
    shown = np.array(written).reshape(4, -1)
    digits = max(len(text.split(".")[1]) for text in words if re.fullmatch(r"−?\d+\.\d+", text))
    assert np.abs(shown - columns).max() <= 0.5 * 10.0**-digits + 1e-12
    assert np.abs(shown[:3].sum(axis=0) - shown[3]).max() < 1e-9


def test_numbers_add_up_as_they_are_written() -> None:
    columns = [np.array([0.004, 1.0]), np.array([0.004, 2.0]), np.array([0.008, 3.0])]
    digits = graph_three_paths.adding_up(columns)
    written = [[float(number(v, digits).replace("−", "-")) for v in values] for values in columns]
    assert np.allclose(np.add(written[0], written[1]), written[2], atol=1e-12)


def test_what_goes_through_several_statistics_is_shown_as_such() -> None:
    def nested(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
        mu = mean(x)
        shifted = mean((x - 2 * mu) * (x - 2 * mu))
        return {"mu": mu, "shifted": shifted, "y": gamma * x / sqrt(shifted + eps)}

    layer = Layer(nested, LAYERS["batch_norm"].layouts)
    case = small_case(layer, 0)
    found = graph_three_paths.paths(layer, case)
    assert list(found) == ["direct", "mu", "shifted", "mixed"]
    np.testing.assert_allclose(sum(found.values()), ball.vjp(layer, case)["dx"].value, rtol=1e-12, atol=1e-12)


@layers
def test_the_sweep_lights_each_node_once_and_ends_with_all(layer: Layer) -> None:
    found = computation(layer)
    order = graph_sweep.order(found)
    assert graph_sweep.frames(layer=layer) == len(order) == len(set(order))
    known: set[Any] = set()
    for node in order:
        assert all(consumer in known for operand, consumer in found.edges() if operand is node)
        known.add(node)
    for frame in (0, len(order) + 1):
        with pytest.raises(InvalidInput, match=f"frame={frame}, expected a whole number from 1 to {len(order)}"):
            graph_sweep.draw(layer=layer, frame=frame)


def test_equations_of_the_sweep() -> None:
    found = computation(LAYERS["batch_norm"])
    written = [graph_sweep.equation(found, node) for node in graph_sweep.order(found)]
    assert written[0] == r"$\frac{\partial\ell}{\partial y}$ comes from the loss"
    assert any(r"= \sum \frac{\partial\ell}{\partial \hat{x}}\cdot (-\hat{x}/s)" in text for text in written)


@layers
def test_every_line_of_the_fold_is_proved(layer: Layer) -> None:
    """Each stage, with every gradient but dy written out, is the direct derivative, for every size."""
    derivation = derive(layer)
    lines = [dict(stage.equations)["dx"] for stage in graph_fold.stages(derivation) if "dx" in dict(stage.equations)]
    assert len(lines) >= 3
    for line in lines:
        assert is_zero(difference(derivation, line))
    assert not is_zero(difference(derivation, 2 * lines[-1]))


def difference(derivation: Any, line: Any) -> Any:
    for name in derivation.steps:
        if name != "y":
            symbol = gradient_symbol(derivation.symbol(name))
            line = replace_indexed(line, symbol, derivation.chain_rule[f"d{name}"])
    return derivation.in_inputs(line) - derivation.direct["dx"]


@layers
@seeds
def test_a_right_backward_pass_is_right_everywhere(layer: Layer, seed: int) -> None:
    found = graph_check.verdicts(layer, small_case(layer, seed))
    assert len(found) == len(computation(layer).nodes)
    assert all(found.values())


@layers
def test_the_first_wrong_node_is_where_the_bug_is(layer: Layer) -> None:
    case = small_case(layer, 0)
    found = graph_check.verdicts(layer, case, ddof=1)
    written = computation(layer)
    first = graph_check.first_wrong(found, written.graph)
    assert first is not None
    assert written.formulas[first].typed in ("(x − μ)²", "x²")
    assert [node for node in found if node.name == "x" and not found[node]] != []
    shown = graph_check.coloured(layer, case, found, Look()).vertices
    assert [vertex.label for vertex in shown if vertex.boxed] == [f"${written.formulas[first].tex}$"]
    assert {vertex.below for vertex in shown} == {"✓", "✗"}


def test_a_backward_pass_of_ones_own() -> None:
    layer, case = LAYERS["batch_norm"], small_case(LAYERS["batch_norm"], 1)

    def mine(case: Case) -> dict[str, Array]:
        truth = sweep(layer, case)
        names = ("x", "gamma", "beta", "mean", "var", "xhat")
        return {name: truth.gradient(name) * (1 + 1e-9 * (name == "var")) for name in names}

    found = {node.name or "named": passed for node, passed in graph_check.verdicts(layer, case, mine).items()}
    assert found["x"]
    assert not found["named"] or list(graph_check.verdicts(layer, case, mine).values()).count(False) == 1
    assert graph_check.draw(layer=layer, backward=mine).axes


@seeds
def test_the_store_holds_what_torch_stores(seed: int) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm1d(1, momentum=graph_train_eval.NEW_WEIGHT, dtype=torch.float64)
    layer(torch.from_numpy(small_case(LAYERS["batch_norm"], seed).x.copy()))
    found = graph_train_eval.statistics(seed)["running"]
    assert found.mean == pytest.approx(layer.running_mean.item(), rel=1e-14)
    assert found.var == pytest.approx(layer.running_var.item(), rel=1e-14)


@seeds
def test_gradients_in_training_and_evaluation(seed: int) -> None:
    case, found = small_case(LAYERS["batch_norm"], seed), graph_train_eval.gradients(seed)
    stored = graph_train_eval.statistics(seed)["running"]
    assert np.allclose(found["training"], ball.vjp(LAYERS["batch_norm"], case)["dx"].value.ravel(), rtol=1e-13)
    alone = case.parameters["gamma"] * case.dy / np.sqrt(stored.var + case.eps)
    assert np.allclose(found["evaluation"], alone.ravel(), rtol=1e-13)
    words = numbers_on(graph_train_eval.draw(seed=seed))
    batch_var = case.x.var()
    store = (0.1 * case.x.mean(), 0.9 + 0.1 * batch_var * 4 / 3)
    for symbol, value in zip((r"\bar{\mu}", r"\bar{\sigma}^2"), store, strict=True):
        assert words.count(f"${symbol}={value:.3f}$") == 2
    assert f"$\\mu={case.x.mean():.3f}$" in words
    assert f"$\\sigma^2={batch_var:.3f}$" in words
    for dx in found.values():
        assert any(text.endswith(",  ".join(number(value) for value in dx)) for text in words)


def test_no_gradient_goes_through_the_store() -> None:
    found = graph_train_eval.statistics(0)
    for graph in (graph_train_eval.training(found), graph_train_eval.evaluation(found)):
        stores = {vertex.key for vertex in graph.vertices if vertex.kind == "store"}
        touching = [arrow for arrow in graph.arrows if {arrow.tail, arrow.head} & stores]
        assert len(touching) == 2
        assert not any(arrow.backward for arrow in touching)


@seeds
def test_two_neurons_by_complex_steps(seed: int) -> None:
    chain = Chain.of(seed)
    inputs = ("x", "w1", "b1", "w2", "b2")

    def cost(values: Mapping[str, complex]) -> complex:
        a1 = 1 / (1 + cmath.exp(-values["w1"] * values["x"] - values["b1"]))
        a2 = 1 / (1 + cmath.exp(-values["w2"] * a1 - values["b2"]))
        return (a2 - values["t"]) ** 2

    given: dict[str, complex] = {name: chain.values[name] for name in (*inputs, "t")}
    assert cost(given).real == pytest.approx(chain.values["C"], rel=1e-14)
    for name in inputs:
        moved = cost({**given, name: given[name] + 1e-30j}).imag / 1e-30
        assert chain.gradients[name] == pytest.approx(moved, rel=1e-13), name
    for name in ("z1", "a1", "z2", "a2", "C"):
        assert chain.gradients[name] > 0


@seeds
def test_factors_of_two_neurons_as_they_are_written(seed: int) -> None:
    """Each factor from the values by complex steps; under ∂C/∂w its factors' product."""
    chain, page = Chain.of(seed), find("graph-two-neurons").draw(seed=seed)
    words, v = numbers_on(page), chain.values

    def slope(z: float) -> float:
        return (1 / (1 + cmath.exp(-(z + 1e-30j)))).imag / 1e-30

    outer = [2 * (v["a2"] - v["t"]), slope(v["z2"])]
    ways = {"w2": [*outer, v["a1"]], "w1": [*outer, v["w2"], slope(v["z1"]), v["x"]]}
    expected = [f"{value:.4f}" for factors in ways.values() for value in (math.prod(factors), *factors)]
    assert [text for text in words if re.fullmatch(r"−?\d+\.\d{4}", text)] == expected
    below = [*v.values(), *(chain.gradients[name] for name in chain.gradients)]
    shown = [text for text in words if re.fullmatch(r"−?\d+\.\d{3}", text)]
    assert sorted(shown) == sorted(number(value, 3) for value in below)


def test_graphs_in_notebooks_need_no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for name in names():
        dot = find(name).dot
        if dot is not None:
            assert "</svg>" in dot()._repr_mimebundle_()["image/svg+xml"]
    assert find("graph-values").draw()._repr_svg_().rstrip().endswith("</svg>")


def test_nodes_with_long_formulas_fall_back_to_their_operation() -> None:
    def long(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
        whole = ((x + 1) * (x + 2) + (x + 3) * (x + 4)) / sqrt(mean(x * x) + eps)
        return {"whole": whole, "y": gamma * whole}

    from bncheck.figures.studio.computation import diagram

    shown = diagram(computation(Layer(long, LAYERS["batch_norm"].layouts)), Look()).vertices
    assert "$+$" in {vertex.label for vertex in shown}
    assert isinstance(replace(shown[0], boxed=True), Vertex)
