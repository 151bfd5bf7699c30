"""Every number on a computation graph is found again by another oracle, and every formula by another way."""

import re
from collections import Counter
from collections.abc import Mapping
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
    graph_sweep,
    graph_three_paths,
    names,
)
from bncheck.figures.studio.computation import Computation, computation
from bncheck.figures.studio.group import column, number, numbered, small_case, worked
from bncheck.figures.studio.look import Look
from bncheck.figures.studio.textbook import Arithmetic, Program
from bncheck.oracles import ball
from bncheck.oracles.graph import sweep, swept

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
    shown = {vertex.key: vertex for vertex in numbered(layer, Look(), small_case(layer, seed)).vertices}
    truth = ball.vjp(layer, case)
    for name in ("x", *case.parameters):
        assert shown[name].gradients == column(truth[f"d{name}"].value), name
    assert shown["y"].values == column(truth["y"].value)
    found = by_hand(case, centred=layer.name != "rms_norm")
    for name in (name for name in shown if f"d{name}" in found):
        assert shown[name].values == column(found[name]), name
        assert shown[name].gradients == column(found[f"d{name}"]), name


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
    shown = {
        vertex.typed: vertex
        for vertex in numbered(layer, Look(), small_case(layer, seed)).vertices
        if vertex.kind == "step"
    }
    assert set(shown) == set(expected)
    for typed, (value, gradient) in expected.items():
        assert (shown[typed].values, shown[typed].gradients) == (column(value), column(gradient)), typed


@seeds
def test_what_is_drawn_is_what_was_numbered(seed: int) -> None:
    """And of a sweep's frame, the gradients known by then."""
    layer = LAYERS["batch_norm"]
    vertices = numbered(layer, Look(), small_case(layer, seed)).vertices
    values, gradients = ([n for v in vertices for n in getattr(v, kind)] for kind in ("values", "gradients"))
    assert cards_on(find("graph-values").draw(seed=seed)) == Counter(values + gradients)
    assert cards_on(graph_sweep.draw(seed=seed, frame=graph_sweep.frames(layer=layer))) == Counter(gradients)
    assert cards_on(graph_sweep.draw(seed=seed, frame=1)) == Counter(vertices[-1].gradients)


def cards_on(page: Figure) -> Counter[str]:
    """The numbers in cards: all that stand alone and at the right of their columns."""
    texts = [text for text in page.axes[0].texts if text.get_horizontalalignment() == "right"]
    return Counter(text.get_text() for text in texts)


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
    without = BUGS["statistics-constant" if centred else "variance-path-missing"].vjp(case, layer)["dx"]
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


def test_parameters_come_as_soon_as_they_can() -> None:
    found = computation(LAYERS["batch_norm"])
    assert [found.formulas[node].typed for node in graph_sweep.order(found)][:5] == ["y", "β", "γ·x̂", "γ", "x̂"]


def test_equations_of_the_sweep() -> None:
    found = computation(LAYERS["batch_norm"])
    written = {found.formulas[node].typed: graph_sweep.equation(found, node) for node in graph_sweep.order(found)}
    assert written["y"] == [r"\partial\ell/\partial y"]
    assert written["s"][1:] == [r"\sum\,\partial\ell/\partial \hat{x}\cdot (-\hat{x}/s)"]
    assert len(written["x − μ"]) == 3


def fourth_moment(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    """Twice computed deviations, roots of roots, a fourth power: 15 nodes."""
    mu = mean(x)
    moment = mean((x - mu) * (x - mu) * (x - mu) * (x - mu))
    xhat = (x - mu) / sqrt(sqrt(moment + eps))
    return {"mean": mu, "moment_fourth": moment, "xhat": xhat, "y": gamma * xhat + beta}


OWN = Layer(fourth_moment, LAYERS["batch_norm"].layouts)


@pytest.mark.parametrize("layer", [*LAYERS.values(), OWN], ids=lambda layer: layer.name)
def test_the_program_of_the_sweep_runs(layer: Layer) -> None:
    """Line by line, on values by the graph's names; and gives the gradients of another oracle."""
    if not layer.is_plain:
        return
    found, case = computation(layer), wide_case(layer)
    program, done = Program(found), swept(found.graph, case)
    sizes = dict(zip(case.layout.axes, case.x.shape, strict=True))
    scope: dict[str, Any] = {"np": np, "dout": case.dy, **sizes}
    for node in found.nodes:
        shape = tuple(sizes.get(axis, 1) for axis in program.shape(node))
        scope[program.names[node]] = np.broadcast_to(done.values[node], np.shape(done.values[node])).reshape(shape)
    for node in graph_sweep.order(found):
        exec(program.line(node), scope)  # what is executed was written here
    truth = ball.vjp(layer, case)
    for name in ("x", *layer.parameters):
        answer, expected = scope[f"d{name}"], truth[f"d{name}"].value
        np.testing.assert_allclose(answer.reshape(expected.shape), expected, rtol=1e-11, atol=1e-11)


def wide_case(layer: Layer) -> Case:
    """Several groups, so that a sum over the wrong axis shows."""
    layout, rng = layer.layouts[0], np.random.default_rng(5)
    shape = tuple(range(3, 3 + len(layout.axes)))
    drawn = {name: rng.normal(size=layout.parameter_shape(shape)) for name in layer.parameters}
    return Case(layout, rng.normal(size=shape), rng.normal(size=shape), drawn, 1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@layers
def test_the_arithmetic_of_the_sweep_comes_out(layer: Layer, seed: int) -> None:
    """What is written in numbers, computed as it stands, is what is written behind it, for every node and element."""
    found = computation(layer)
    arithmetic = Arithmetic(found, worked(found, small_case(layer, seed)))
    for node in graph_sweep.order(found)[1:]:
        for k in range(np.size(arithmetic.done.values[node])):
            terms = "+".join(arithmetic.terms(node, k)).replace(r"\cdot ", "*")
            result = float(arithmetic.number(node, k, gradient=True).replace("−", "-"))
            assert eval(terms) == pytest.approx(result, abs=0.006 if arithmetic.is_exact(node) else 0.06), terms


@pytest.mark.parametrize("name", ["batch_norm", "rms_norm", "layer_norm"])
def test_numbers_of_the_small_group_are_those_of_a_blackboard(name: str) -> None:
    """Nothing on it is rounded: whoever computes along gets what is written."""
    found = computation(LAYERS[name])
    arithmetic = Arithmetic(found, worked(found, small_case(LAYERS[name], 0)))
    assert all(arithmetic.is_exact(node) for node in found.nodes)


def test_the_words_of_a_sweep_stay_in_their_places() -> None:
    """Cards in every frame at the same places, and words of one size."""
    pages = [graph_sweep.draw(frame=frame) for frame in (1, 6, 10)]
    titles = [
        {t.get_text(): t.get_position() for t in page.axes[0].texts if t.get_text() in ("$x$", "$y$")} for page in pages
    ]
    assert titles[0] == titles[1] == titles[2]
    assert (
        len({t.get_fontsize() for page in pages for t in page.axes[0].texts if t.get_horizontalalignment() == "left"})
        == 1
    )


def test_what_is_computed_twice_is_one_node() -> None:
    found = computation(OWN)
    assert [formula.typed for formula in found.formulas.values()].count("x − μ") == 1
    twice = [copies for node, copies in found.copies.items() if found.formulas[node].typed == "x − μ"]
    assert [len(copies) for copies in twice] == [5]
    case = small_case(OWN, 0)
    np.testing.assert_allclose(swept(found.graph, case).gradient("x"), ball.vjp(OWN, case)["dx"].value, rtol=1e-11)


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
    right = graph_check.verdicts(layer, case)
    shown = graph_check.coloured(layer, case, [right, found], Look()).vertices
    assert [vertex.label for vertex in shown if vertex.boxed] == [f"${written.formulas[first].tex}$"]
    assert {vertex.signs for vertex in shown} == {("✓", "✓"), ("✓", "✗")}


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


def test_graphs_in_notebooks_need_no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for name in names():
        dot = find(name).dot
        if dot is not None:
            assert "</svg>" in dot()._repr_mimebundle_()["image/svg+xml"]
    assert find("graph-values").draw()._repr_svg_().rstrip().endswith("</svg>")


def test_long_formulas_get_a_letter_that_is_explained() -> None:
    def long(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
        whole = ((x + 1) * (x + 2) + (x + 3) * (x + 4)) / sqrt(mean(x * x) + eps)
        return {"whole": whole, "y": gamma * whole}

    from bncheck.figures import graph_staged

    words = numbers_on(graph_staged.draw(layer=Layer(long, LAYERS["batch_norm"].layouts)))
    assert {"$a$", "$b$", "$a+b$"} <= {*words}
    assert "$a=(x+1)(x+2)$,  $b=(x+3)(x+4)$" in words
    assert not [text for text in words if "times" in text or "_" in text.replace("_1", "")]
