"""One case worked out on paper anchors all oracles: what they all could get wrong together.

eps = 9. Channel 0: x = (0, 8), mean 4, variance 16, √(16 + 9) = 5, x̂ = (−4/5, 4/5); γ = 5, β = 1, y = (−3, 5).
dy = (1, 0): dβ = 1, dγ = −4/5, and dx = γ/5 · (dy − 1/2 − x̂·(−2/5)) = (1 − 1/2 − 8/25, 0 − 1/2 + 8/25) = ±9/50.
Channel 1: x = (5, 5), variance 0, √9 = 3, x̂ = 0; γ = 3, β = 0, y = 0. dy = (2, 1): dβ = 3, dγ = 0,
dx = γ/3 · (dy − 3/2) = ±1/2.
"""

from typing import Any

import numpy as np
import pytest
from conftest import FLAT

from bncheck.bugs.catalogue.bug import correct
from bncheck.case import Array, Case
from bncheck.layers import Layer
from bncheck.oracles import ball, finite_difference, graph, symbolic
from bncheck.tolerances.bounds import tolerance

CASE = Case(
    FLAT,
    x=np.array([[0.0, 5.0], [8.0, 5.0]]),
    dy=np.array([[1.0, 2.0], [0.0, 1.0]]),
    parameters={"gamma": np.array([5.0, 3.0]), "beta": np.array([1.0, 0.0])},
    eps=9.0,
)
EXPECTED: dict[str, list[Any]] = {
    "y": [[-3, 0], [5, 0]],
    "dx": [[9 / 50, 1 / 2], [-9 / 50, -1 / 2]],
    "dgamma": [-4 / 5, 0],
    "dbeta": [1, 3],
}


def answers(layer: Layer, oracle: str) -> dict[str, Array]:
    if oracle == "symbolic":
        return dict(symbolic.vjp(layer, CASE))
    if oracle == "graph":
        return dict(graph.vjp(layer, CASE))
    if oracle == "ball":
        return {name: e.value for name, e in ball.vjp(layer, CASE).items()}
    if oracle == "derived program":
        return dict(correct(CASE))
    allowed = {name: r.radius for name, r in tolerance(layer, CASE).items()}
    forward = finite_difference.definition(layer, CASE)
    if oracle == "finite_difference":
        return {name: e.value for name, e in finite_difference.vjp(forward, CASE, allowed["y"]).items()}
    stepped = finite_difference.complex_step(forward, CASE, allowed)
    assert stepped is not None
    return {name: e.value for name, e in stepped.items()}


@pytest.mark.parametrize(
    "oracle", ["symbolic", "graph", "ball", "finite_difference", "complex_step", "derived program"]
)
def test_every_oracle_gives_the_numbers_worked_out_on_paper(batch_norm: Layer, oracle: str) -> None:
    for name, got in answers(batch_norm, oracle).items():
        near = 1e-8 if oracle == "finite_difference" else 1e-15
        np.testing.assert_allclose(got, EXPECTED[name], rtol=0, atol=near, err_msg=name)


def test_the_statistics_in_between(batch_norm: Layer) -> None:
    done = graph.sweep(batch_norm, CASE)
    np.testing.assert_array_equal(done.value("mean"), [[4, 5]])
    np.testing.assert_array_equal(done.value("var"), [[16, 0]])
    np.testing.assert_array_equal(done.value("xhat"), [[-0.8, 0], [0.8, 0]])
    # ∂ℓ/∂x̂ = γ·dy = (5, 0); ∂ℓ/∂σ² = 5·(−4)·(−1/2)/125 = 2/25; ∂ℓ/∂μ = −5/5 = −1
    np.testing.assert_allclose(done.gradient("xhat")[:, 0], [5, 0])
    np.testing.assert_allclose(done.gradient("var")[0, 0], 2 / 25)
    np.testing.assert_allclose(done.gradient("mean")[0, 0], -1)
