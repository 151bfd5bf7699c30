"""Forward mode, second order: the jvp of every layer is tied to its vjp in every oracle, and to what it must be."""

from typing import Any

import numpy as np
import pytest

from bncheck.case import Array, Case, Gradients
from bncheck.errors import InvalidDefinition
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import ball, finite_difference, graph, symbolic
from bncheck.tangents import SUFFIX, forward_mode, tangent_of
from bncheck.tolerances.bounds import tolerance

JVPS = [layer for layer in LAYERS.values() if layer.primal is not None]


def both(layer: Layer) -> tuple[Case, Case]:
    """A case of a jvp, and that of its layer with the same x, dy and parameters."""
    layout = layer.layouts[-1]
    case = Recipe(layout, (3, 4, 2, 2, 2)[: len(layout.axes)], eps=0.1, seed=3).build(layer)
    assert layer.primal is not None
    given = {name: case.parameters[name] for name in layer.primal.parameters if name in case.parameters}
    if "beta" in layer.primal.parameters:  # ẏ does not depend on what is only added
        given["beta"] = np.zeros_like(case.parameters["beta" + SUFFIX])
    return case, Case(layout, case.x, case.dy, given, case.eps, state=case.state)


def truth(layer: Layer, case: Case) -> Gradients:
    return {name: enclosure.value for name, enclosure in ball.vjp(layer, case).items()}


ORACLES = {"symbolic": symbolic.vjp, "graph": graph.vjp, "ball": truth}


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("layer", JVPS, ids=lambda layer: layer.name)
def test_forward_and_reverse_mode_are_each_others_transpose(layer: Layer, oracle: str) -> None:
    """⟨dy, J·v⟩ = ⟨Jᵀ·dy, v⟩, with v a direction in x and all parameters at once."""
    jvp, case = both(layer)
    assert layer.primal is not None
    pushed, pulled = ORACLES[oracle](layer, jvp), ORACLES[oracle](layer.primal, case)
    directions = {"x": jvp.parameters[tangent_of("x")]}
    directions |= {name: jvp.parameters[tangent_of(name)] for name in layer.primal.parameters}
    left = float((jvp.dy * pushed["y"]).sum())
    right = sum(float((pulled[f"d{name}"] * direction).sum()) for name, direction in directions.items())
    assert left == pytest.approx(right, rel=1e-12)
    assert abs(left) > 1e-3
    for name in directions:  # and what the jvp gives its direction back is the layer's own gradient
        np.testing.assert_allclose(pushed[f"d{tangent_of(name)}"], pulled[f"d{name}"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", JVPS, ids=lambda layer: layer.name)
def test_finite_differences_along_the_direction_agree(layer: Layer) -> None:
    """From the layer's forward pass alone, which knows of no tangents: (y(x + hv) − y(x − hv)) / 2h."""
    jvp, case = both(layer)
    assert layer.primal is not None
    forward = finite_difference.definition(layer.primal, case)

    def at(h: float) -> Array:
        moved = {n: p + h * jvp.parameters[tangent_of(n)] for n, p in case.parameters.items()}
        return forward(case.x + h * jvp.parameters[tangent_of("x")], moved)

    h = 1e-5
    slope = (at(h) - at(-h)) / (2 * h)
    np.testing.assert_allclose(symbolic.vjp(layer, jvp)["y"], slope, atol=1e-7)


@pytest.mark.parametrize("layer", JVPS, ids=lambda layer: layer.name)
def test_second_order_is_the_slope_of_the_first(layer: Layer) -> None:
    """dx of the jvp is the directional derivative of the layer's own dx: what a double backward pass computes."""
    jvp, case = both(layer)
    assert layer.primal is not None
    primal = layer.primal

    def dx(h: float) -> Array:
        moved = {n: p + h * jvp.parameters[tangent_of(n)] for n, p in case.parameters.items()}
        x = case.x + h * jvp.parameters[tangent_of("x")]
        return np.asarray(symbolic.vjp(primal, Case(case.layout, x, case.dy, moved, case.eps, state=case.state))["dx"])

    h = 1e-5
    np.testing.assert_allclose(symbolic.vjp(layer, jvp)["dx"], (dx(h) - dx(-h)) / (2 * h), atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=lambda layer: layer.name)
def test_every_oracle_answers_in_the_dtype_it_was_asked_in(layer: Layer, dtype: str) -> None:
    layout = layer.layouts[0]
    case = Recipe(layout, (3,) * len(layout.axes), dtype).build(layer)
    for vjp in (symbolic.vjp, graph.vjp):
        assert {name: value.dtype.name for name, value in vjp(layer, case).items() if value.dtype != dtype} == {}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=lambda layer: layer.name)
def test_all_oracles_agree_in_every_layout_with_and_without_parameters(layer: Layer) -> None:
    """Modes, statistics, forward mode and second order go the whole way: no oracle has a case of its own for them."""
    for index, layout in enumerate(layer.layouts):
        for affine in (True, False):
            case = Recipe(layout, (3, 2, 2, 2, 2)[: len(layout.axes)], eps=0.1, affine=affine, seed=index).build(layer)
            allowed = tolerance(layer, case)
            enclosed = ball.vjp(layer, case)
            assert list(enclosed) == list(allowed)
            for vjp in (symbolic.vjp, graph.vjp):
                for name, value in vjp(layer, case).items():
                    assert (enclosed[name].distance(value) <= allowed[name].radius).all(), (name, layout)
            forward = finite_difference.definition(layer, case)
            noise = finite_difference.joined(case, {name: radius.radius for name, radius in allowed.items()})
            for name, estimate in finite_difference.vjp(forward, case, noise).items():
                assert (enclosed[name].distance(estimate.value) <= estimate.error).all(), (name, layout)


def test_a_wrong_rule_of_forward_mode_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transpose can fail: forget one half of a root's slope, and it does not hold."""
    from bncheck import tangents

    def steep(sqrt: Any) -> Any:
        return lambda a: tangents.Tangent(sqrt(a.value), None if a.tangent is None else a.tangent / sqrt(a.value))

    monkeypatch.setattr(tangents, "_PUSHING", {**tangents._PUSHING, "sqrt": steep})
    primal = LAYERS["batch_norm"]
    wrong = Layer(forward_mode.__wrapped__(primal.definition), primal.layouts, "steep_jvp", primal=primal)
    with pytest.raises(AssertionError):
        test_forward_and_reverse_mode_are_each_others_transpose(wrong, "graph")


def test_what_cannot_be_pushed_forward_is_refused_in_words() -> None:
    def cube_root(x: Any, eps: Any = 1e-5, *, mean: Any) -> Any:
        return {"y": x ** (1 / 3)}

    with pytest.raises(InvalidDefinition, match="on tangents; expected only"):
        Layer(cube_root, LAYERS["batch_norm"].layouts).forward_mode()
