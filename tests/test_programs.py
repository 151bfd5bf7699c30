"""Derived programs: in every style, layer, layout and dtype they are the layer; their reverse sweep is a gradient."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from test_own_definition import fourth_moment_norm

from bncheck.bugs.programs import Bench, programs
from bncheck.case import Case
from bncheck.formats import Format
from bncheck.inputs.probes import probes
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import ball
from bncheck.tolerances.bounds import tolerance, truth_of
from bncheck.tolerances.intervals import Radius
from bncheck.tolerances.verdicts import compare

LAYOUTS = LAYERS["batch_norm"].layouts


def half_norm(x: Any, gamma: Any = 1, tilt: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    """No statistic of it is a mean or a variance, and one parameter does both."""
    moment = mean(x * x * x * x)
    scale = sqrt(sqrt(moment + eps) + 1)
    return {"moment": moment, "scale": scale, "y": gamma * x / scale + tilt * gamma * moment}


OWN = (Layer(fourth_moment_norm, LAYOUTS), Layer(half_norm, LAYOUTS))
layers = pytest.mark.parametrize("layer", [*LAYERS.values(), *OWN], ids=lambda layer: layer.name)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@layers
def test_every_style_is_the_layer(layer: Layer, dtype: str) -> None:
    for seed, layout in enumerate(layer.layouts):
        case = probes(layer, layout, dtype=dtype, seed=seed)[0]
        allowed = tolerance(layer, case)
        radii = {name: radius.radius for name, radius in allowed.items()}
        for style, program in programs(layer, layout, tuple(case.parameters)).items():
            answer = program.run(case.astype(np.float64))
            rounded = {name: np.asarray(value).astype(case.dtype) for name, value in answer.items()}
            assert set(rounded) == set(allowed)
            for name, comparison in compare(rounded, truth_of(allowed), radii).items():
                assert not comparison.verdict.failed, (style, str(layout), name, comparison)


@layers
def test_every_style_on_intervals_holds_the_truth(layer: Layer) -> None:
    case = probes(layer, dtype="float32")[0]
    truth = ball.vjp(layer, case)
    for style, program in programs(layer, case.layout, tuple(case.parameters)).items():
        lifted = partial(Radius.exact, fmt=Format.of(case.dtype))
        for name, value in Bench(program, case, lifted).answers(program, truth).items():
            distance = truth[name].distance(value.midpoint)
            assert (distance <= value.radius + truth[name].radius).all(), (style, name)


@pytest.mark.parametrize("layer", OWN, ids=lambda layer: layer.name)
def test_the_reverse_sweep_is_the_slope_of_the_forward_steps(layer: Layer) -> None:
    case = probes(layer)[0]
    rng = np.random.default_rng(1)
    direction = rng.normal(size=case.x.shape)
    for style, program in programs(layer, case.layout, tuple(case.parameters)).items():
        ends = [float((program.run(shifted(case, sign * 1e-5 * direction))["y"] * case.dy).sum()) for sign in (1, -1)]
        slope = float((program.run(case)["dx"] * direction).sum())
        assert abs(slope - (ends[0] - ends[1]) / 2e-5) <= 1e-8 * abs(slope), style


def shifted(case: Case, by: Any) -> Case:
    return Case(case.layout, case.x + by, case.dy, case.parameters, case.eps)


def test_no_definition_can_take_the_name_of_a_gradient() -> None:
    layer = LAYERS["batch_norm"]
    program = programs(layer, layer.layouts[0], layer.parameters)["equations"]
    assert not any(name.isidentifier() for name in program.backward)


def test_a_bench_computes_what_an_edit_touches_and_no_more() -> None:
    layer = LAYERS["batch_norm"]
    case = probes(layer)[0]
    program = programs(layer, case.layout, layer.parameters)["stages"]
    bench = Bench(program, case)
    values = bench.values(program)
    again = bench.values(program)
    assert all(values[name] is again[name] for name in program.backward)
