"""The theorems are proved for symbolic sizes, refuted where they do not hold, and true of the numbers too."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from conftest import random_case

from bncheck.campaign.theorems import shares
from bncheck.case import Case, Layout
from bncheck.cli import run
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import ball, symbolic
from bncheck.oracles.symbolic.derivation import EPS, derive
from bncheck.oracles.symbolic.theorems import PRIME, Theorem, theorems
from bncheck.outcomes import Outcome

SCALED = ["scale", "scale-inputs", "scale-weights", "scale-factor", "scale-gradient"]
CENTRED = ["gradient-sum", "gradient-projection", "shift", *SCALED, "weights-orthogonal"]
TRANSPOSED = ["adjoint", "transpose"]
NULL = ["null-shift", "null-scale"]
STATED = {
    "batch_norm": {*CENTRED, "identity"},
    "batch_norm_eval": set(),  # statistics that are given: nothing is normalised by itself
    "layer_norm": set(CENTRED),
    "instance_norm": {*CENTRED, "one-channel"},
    "group_norm": {*CENTRED, "one-group", "one-channel-groups"},
    "rms_norm": {"gradient-projection", *SCALED, "weights-orthogonal"},
    "batch_norm_jvp": {*TRANSPOSED, *NULL, "hessian"},
    "batch_norm_eval_jvp": {*TRANSPOSED, "hessian"},
    "layer_norm_jvp": {*TRANSPOSED, *NULL, "hessian"},
    "instance_norm_jvp": {*TRANSPOSED, *NULL, "hessian"},
    "group_norm_jvp": {*TRANSPOSED, *NULL, "hessian"},
    "rms_norm_jvp": {*TRANSPOSED, "null-scale", "hessian"},
}
PLAIN = [name for name in STATED if LAYERS[name].is_plain]


@pytest.mark.parametrize("name", list(STATED))
def test_every_theorem_is_proved_on_every_layout(name: str) -> None:
    stated = set()
    for layout in LAYERS[name].layouts:
        found = theorems(derive(LAYERS[name], layout))
        stated |= {theorem.name for theorem in found}
        assert all(theorem.holds for theorem in found)
    assert stated == STATED[name]


def test_what_does_not_hold_is_not_proved() -> None:
    def leaning(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
        """Batch norm, with a part of x let through."""
        mu = mean(x)
        var = mean((x - mu) ** 2)
        xhat = (x - mu) / sqrt(var + eps) + x / 2
        return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * xhat + beta}

    def misplaced(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
        """eps outside the root: it no longer scales like the variance."""
        mu = mean(x)
        var = mean((x - mu) ** 2)
        xhat = (x - mu) / (sqrt(var) + eps)
        return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * xhat + beta}

    layouts = LAYERS["batch_norm"].layouts
    assert not any(theorem.holds for theorem in theorems(derive(Layer(leaning, layouts))))
    held = {theorem.name for theorem in theorems(derive(Layer(misplaced, layouts))) if theorem.holds}
    assert held == {"gradient-sum", "shift"}


@pytest.mark.parametrize("name", PLAIN)
def test_the_gradients_of_a_group_cancel_in_balls(name: str) -> None:
    """Rigorously, on numbers: the enclosure of each group's sum contains 0, unless nothing is centred."""
    layer = LAYERS[name]
    for layout in layer.layouts:
        case = Recipe(layout, (3,) * len(layout.axes), seed=1).build(layer)
        sums = ball.balls_of(layer, case)["dx"].sum(axis=layout.reduced_axes).reshape(-1)
        assert all(total.contains(0) for total in sums) is (name != "rms_norm")


@pytest.mark.parametrize("name", PLAIN)
def test_scale_and_shift_on_numbers(name: str) -> None:
    layer = LAYERS[name]
    case = Recipe(layer.layouts[0], (3,) * len(layer.layouts[0].axes), eps=0.1, seed=2).build(layer)
    larger = Case(case.layout, 4 * case.x, case.dy, case.parameters, 16 * case.eps)
    first, second = symbolic.vjp(layer, case), symbolic.vjp(layer, larger)
    np.testing.assert_allclose(second["y"], first["y"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(second["dx"], first["dx"] / 4, rtol=1e-9, atol=1e-12)
    moved = symbolic.vjp(layer, Case(case.layout, case.x + 1, case.dy, case.parameters, case.eps))
    assert np.allclose(moved["y"], first["y"], atol=1e-12) is (name != "rms_norm")


REDUCED = {
    "batch_norm": (0, 1),
    "layer_norm": (2, 3),
    "instance_norm": (1,),
    "group_norm": (1, 3),
    "rms_norm": (2, 3),
}
"""The axes of x = Wu over which statistics are taken: samples N, places L, groups G of K units."""


@pytest.mark.parametrize("name", REDUCED)
@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_weights_and_their_gradient_are_orthogonal_but_for_the_share_of_eps(name: str, eps: float) -> None:
    """In plain NumPy: the gradient of each weight is a complex step of the loss itself."""
    generator = np.random.default_rng(5)
    weights, before = generator.normal(size=(2, 3, 4)), generator.normal(size=(5, 2, 4))
    gamma, dy = generator.normal(size=(2, 3)), generator.normal(size=(5, 2, 2, 3))

    def normalised(weights: Any) -> tuple[Any, Any]:
        x = np.einsum("gkf,nlf->nlgk", weights, before)
        centred = x if name == "rms_norm" else x - x.mean(REDUCED[name], keepdims=True)
        square = (centred**2).mean(REDUCED[name], keepdims=True)
        return centred / np.sqrt(square + eps), square

    gradient = np.empty(weights.shape)
    for place in np.ndindex(*weights.shape):
        stepped = weights.astype(complex)
        stepped[place] += 1e-30j
        gradient[place] = (dy * gamma * normalised(stepped)[0]).sum().imag / 1e-30
    xhat, square = normalised(weights)
    share = eps / (square + eps) * xhat * gamma * dy
    alone = tuple(axis for axis in (2, 3) if axis not in REDUCED[name])  # units that are normalised each by itself
    left = (weights * gradient).sum(tuple(axis - 2 for axis in (2, 3, 4) if axis not in alone))
    right = share.sum(tuple(axis for axis in range(4) if axis not in alone))
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)
    assert bool(np.abs(left).max() > 0.01) is (eps > 0)
    if eps == 0:
        squares = (weights**2).sum(), (gradient**2).sum()
        np.testing.assert_allclose(((weights - 0.1 * gradient) ** 2).sum(), squares[0] + 0.01 * squares[1], rtol=1e-12)


@pytest.mark.parametrize("name", REDUCED)
def test_no_other_share_of_eps_is_left(name: str) -> None:
    """Planted: another power, no γ, no share at all, statistics of another x; refuted by the prover and by a case."""
    layer = LAYERS[name]
    layout = layer.layouts[-1]
    case = Recipe(layout, (3, 4, 2, 2, 2)[: len(layout.axes)], eps=0.1, seed=6).build(layer)
    (stated,) = [t for t in theorems(derive(layer, layout)) if t.name == "weights-orthogonal"]
    assert isinstance(stated, Theorem)
    symbols, (power,) = stated.right.atoms(sp.Indexed), stated.right.atoms(sp.Pow)
    gammas = {symbol: sp.S.One for symbol in symbols if str(symbol.base.label) == "gamma"}
    unprimed = {s: sp.IndexedBase(str(s.base.label).rstrip(PRIME))[s.indices] for s in power.atoms(sp.Indexed)}
    wrong = [
        stated.right * sp.sqrt(power),
        stated.right.xreplace(gammas),
        stated.right / EPS,
        sp.S.Zero,
        stated.right.xreplace(unprimed),
    ]
    for right in wrong:
        planted = replace(stated, right=right)
        assert planted.outcome is Outcome.REFUTED
        assert shares([planted], case)[stated.name] > 1


def test_batch_norm_can_undo_itself_on_numbers() -> None:
    case = random_case(eps=0.5)
    mean, std = case.x.mean(axis=0), np.sqrt(case.x.var(axis=0) + 0.5)
    undone = Case(case.layout, case.x, case.dy, {"gamma": std, "beta": mean}, 0.5)
    np.testing.assert_allclose(symbolic.vjp(LAYERS["batch_norm"], undone)["y"], case.x, atol=1e-14)


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "batch_norm", "--theorems", "--layout", str(Layout("NCHW", "NHW", "C"))]) == 0
    printed = capsys.readouterr().out
    assert printed.count(": proved") == len(STATED["batch_norm"])
    assert max(map(len, printed.splitlines())) <= 80
