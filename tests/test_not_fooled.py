"""What could fool the proof does not: shared names, false means, no value anywhere, branches, too little time."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

from bncheck.case import Layout
from bncheck.errors import InvalidDefinition
from bncheck.inputs.recipes import Recipe
from bncheck.layers import Layer
from bncheck.oracles import ball, symbolic
from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.lowering import lower
from bncheck.oracles.symbolic.proof import prove
from bncheck.oracles.symbolic.refutation import NowhereDefined, tried
from bncheck.oracles.symbolic.symbols import gradient_symbol
from bncheck.oracles.symbolic.theorems import theorems
from bncheck.oracles.symbolic.vanishing import Step, vanishes
from bncheck.outcomes import Outcome
from bncheck.results import LayerReport, Result
from bncheck.tolerances.verdicts import Verdict

LAYOUTS = (Layout("NC", reduced="N", affine="C"),)
Forward = Callable[..., dict[str, Any]]


def normalized(
    spread: str = "var", xhat: str = "xhat", scale: str = "gamma", shift: str = "beta", **more: Any
) -> Layer:
    """Batch norm under other names; `more` holds settings."""
    settings = "".join(f", {name}={value}" for name, value in more.items())
    source = f"""
def renamed(x, {scale}=1, {shift}=0, eps=1e-5, *, mean, sqrt{settings}):
    mu = mean(x)
    moved = x - mu
    spread = mean(moved * moved)
    hat = moved / sqrt(spread + eps)
    return {{"mean": mu, {spread!r}: spread, {xhat!r}: hat, "y": {scale} * hat + {shift}}}
"""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return Layer(namespace["renamed"], LAYOUTS)


def assert_right(layer: Layer) -> None:
    """Proved, and on numbers what the balls enclose."""
    assert prove(derive(layer)).proved
    case = Recipe(LAYOUTS[0], (5, 3), eps=0.1, seed=1).build(layer)
    truth = ball.vjp(layer, case)
    for name, value in symbolic.vjp(layer, case).items():
        np.testing.assert_allclose(value, truth[name].value, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "names",
    [
        {"xhat": "dvar"},
        {"spread": "dxhat"},
        {"xhat": "dy_out", "spread": "dmean_out"},
        {"scale": "inv_std", "shift": "centred"},
        {"scale": "sum_dy", "shift": "sum_centred_dy"},
        {"spread": "ddvar", "xhat": "dvar"},
        {"scale": "W", "shift": "b"},
        {"shift": "dmean"},
    ],
    ids=str,
)
def test_names_that_bncheck_uses_itself(names: dict[str, str]) -> None:
    layer = normalized(**names)
    assert_right(layer)
    assert_right(layer.forward_mode())
    assert (
        gradient_symbol(derive(layer).symbol("mean")) != sp.IndexedBase("dmean")[derive(layer).symbol("mean").indices]
    )


@pytest.mark.parametrize(
    "names", [{"xhat": "dgamma"}, {"shift": "dgamma"}, {"spread": "lambda"}, {"xhat": "mean_tangent"}, {"scale": "m"}]
)
def test_names_that_would_stand_for_two_things_are_refused(names: dict[str, str]) -> None:
    with pytest.raises(InvalidDefinition, match=r"expected a name that formulas do not use. Rename it.$"):
        derive(normalized(**names))


def test_forward_mode_refuses_names_of_tangents() -> None:
    def taken(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any) -> Any:
        mu = mean(x)
        return {"mean": mu, "mean_tangent": x - mu, "y": gamma * (x - mu)}

    with pytest.raises(InvalidDefinition, match="mean_tangent, expected no name that ends in _tangent"):
        Layer(taken, LAYOUTS).forward_mode()


@pytest.mark.parametrize("setting", ["count", "o", "f", "a"])
def test_settings_are_plain_numbers_whatever_they_are_called(setting: str) -> None:
    source = f"""
def scaled(x, gamma=1, eps=1e-5, *, mean, sqrt, {setting}=7.0):
    mu = mean(x)
    var = mean((x - mu) ** 2)
    return {{"mean": mu, "var": var, "y": gamma * {setting} * (x - mu) / sqrt(var + eps * {setting})}}
"""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    assert_right(Layer(namespace["scaled"], LAYOUTS))


def multiple(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    twice = 2 * mean(x)
    centred = x - twice
    var = mean(centred * centred)
    return {"twice": twice, "var": var, "y": gamma * centred / sqrt(var + eps) + beta}


def rooted(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any, count: Any) -> Any:
    square = mean(x * x)
    root = sqrt(square + eps)
    total = mean(x) * count
    shift = total * root
    centred = x - shift
    var = mean(centred * centred)
    return {
        "square": square, "root": root, "total": total, "shift": shift, "var": var,
        "y": gamma * centred / sqrt(var + eps) + beta,
    }  # fmt: skip


def with_count(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any, count: Any) -> Any:
    mu = mean(x)
    var = mean((x - mu) ** 2)
    return {"mean": mu, "var": var, "y": gamma * (x - mu) / sqrt(var * count + eps) + beta}


def mean_of_roots(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    centred = x - mu
    deviation = mean(sqrt(centred * centred + eps))
    xhat = centred / deviation
    return {"mean": mu, "deviation": deviation, "xhat": xhat, "y": gamma * xhat + beta}


def mean_absolute(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    centred = x - mu
    deviation = mean(sqrt(centred * centred))
    xhat = centred / (deviation + eps)
    return {"mean": mu, "deviation": deviation, "xhat": xhat, "y": gamma * xhat + beta}


def two_roots(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    var = mean((x - mu) ** 2)
    return {"mean": mu, "var": var, "y": gamma * x / sqrt(var + eps) + x / sqrt(var + gamma * gamma)}


def doubled_scale(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    var = mean((x - mu) ** 2)
    xhat = (x - mu) / sqrt(var + eps)
    return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * gamma * xhat + eps * x}


@pytest.mark.parametrize(
    "definition", [multiple, rooted, with_count, mean_of_roots, mean_absolute, two_roots, doubled_scale]
)
def test_right_derivations_are_proved(definition: Forward) -> None:
    """Steps that are multiples of a mean, roots within means, numbers beside statistics: right, and said to be so."""
    layer = Layer(definition, LAYOUTS)
    start = time.process_time()
    assert_right(layer)
    assert_right(layer.forward_mode())
    assert time.process_time() - start < 20


def test_a_scale_of_zero_loses_nothing() -> None:
    """What is computed for dγ is not divided by γ to be used again."""
    layer = Layer(doubled_scale, LAYOUTS)
    case = Recipe(LAYOUTS[0], (5, 3), eps=0.1, seed=1).build(layer)
    still = type(case)(case.layout, case.x, case.dy, {"gamma": np.zeros(3)}, case.eps)
    assert np.isfinite(symbolic.vjp(layer, still)["dx"]).all()


def test_under_a_root_x_stays_centred() -> None:
    source = lower(Layer(mean_of_roots, LAYOUTS), LAYOUTS[0]).source
    assert "np.sqrt(centred**2 + eps)" in source
    assert "x**2" not in source


def test_only_what_is_the_mean_is_centred_by() -> None:
    i, j, m = sp.symbols("i i' m")
    x, step = sp.IndexedBase("x"), sp.IndexedBase("step")[sp.Symbol("·")]
    total = sp.Sum(x[j], (j, 1, m))
    centred = sp.Sum(x[i] - step, (i, 1, m))
    for factor, outcome in ((1 / m, Outcome.PROVED), (2 / m, Outcome.REFUTED), (1, Outcome.REFUTED)):
        steps = {"step": Step(step, factor * total)}
        written = centred.xreplace({step: factor * total})
        assert vanishes(written, {"x": x[i]}, steps) is outcome
    root = sp.Sum(x[j] ** 2, (j, 1, m)) ** sp.Rational(1, 2)
    assert vanishes(sp.Sum(x[i], (i, 1, m)) * root, {"x": x[i]}, {"step": Step(step, total * root)}) is Outcome.REFUTED


def negative(x: Any, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    var = mean((x - mu) ** 2)
    return {"mean": mu, "var": var, "y": (x - mu) / sqrt(-var - eps)}


def divided(x: Any, eps: Any = 1e-5, *, mean: Any) -> Any:
    centred = x - mean(x)
    return {"y": centred / mean(centred)}


def flat(x: Any, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    centred = x - mean(x)
    return {"y": centred + sqrt(mean(centred))}


@pytest.mark.parametrize(
    ("definition", "fault"),
    [(negative, "takes the root of a number that is not above 0 in y"), (divided, "divides by 0 in y"),
     (flat, "takes the root of a number that is not above 0 in y")],
)  # fmt: skip
def test_a_definition_without_a_value_is_refused(definition: Forward, fault: str) -> None:
    for layer in (Layer(definition, LAYOUTS), Layer(definition, LAYOUTS).forward_mode()):
        with pytest.raises(InvalidDefinition, match=fault):
            derive(layer)


@pytest.mark.parametrize("bound", ["x - 50", "sqrt(1 - x * x) + x", "sqrt(-x)"])
def test_a_value_somewhere_is_enough(bound: str) -> None:
    namespace: dict[str, Any] = {}
    exec(
        f"def f(x, eps=1e-5, *, mean, sqrt):\n    mu = mean(x)\n    return {{'mean': mu, 'y': {bound} - mu}}", namespace
    )
    assert prove(derive(Layer(namespace["f"], LAYOUTS))).proved


def test_numbers_that_are_none_tell_nothing() -> None:
    a = sp.Symbol("eps")
    with pytest.raises(NowhereDefined):
        tried(sp.sqrt(-a) - 1)
    assert vanishes(sp.sqrt(-a) - sp.sqrt(-a - a * a), {}, {}) is Outcome.UNDECIDED
    nested = sp.sqrt(a) + 3
    zero = 1 / nested - (sp.sqrt(a) - 3) / (a - 9)
    assert vanishes(zero, {}, {}) is Outcome.PROVED
    assert vanishes(1 / zero - 2 / zero, {}, {}) is Outcome.UNDECIDED  # divided by zero, not by something


@pytest.mark.parametrize("condition", ["var == 0", "var != 0", "0 == var", "var", "var < 1", "var in [0, 1]"])
def test_a_branch_is_refused_however_it_is_written(condition: str) -> None:
    source = f"""
def branching(x, gamma=1, eps=1e-5, *, mean, sqrt):
    mu = mean(x)
    var = mean((x - mu) * (x - mu))
    y = gamma * (x - mu) / sqrt(var + eps)
    return {{"mean": mu, "var": var, "y": gamma * x if {condition} else y}}
"""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    layer = Layer(namespace["branching"], LAYOUTS)
    for attempt in (lambda: derive(layer), layer.forward_mode):
        with pytest.raises(InvalidDefinition, match="branches on a value"):
            attempt()


def fourth_moment_norm(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    centred = x - mu
    fourth = mean(centred**4)
    xhat = centred / sqrt(sqrt(fourth + eps))
    return {"mean": mu, "fourth": fourth, "xhat": xhat, "y": gamma * xhat + beta}


def test_the_jvp_of_a_fourth_moment_is_derived_and_proved_in_seconds() -> None:
    start = time.process_time()
    derivation = derive(Layer(fourth_moment_norm, LAYOUTS).forward_mode())
    assert prove(derivation).proved
    assert all(theorem.holds for theorem in theorems(derivation))
    assert time.process_time() - start < 10


def test_a_budget_that_is_spent_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = normalized(xhat="hat", spread="square")
    monkeypatch.setattr(budgets, "DERIVATION", 0.01)
    with pytest.raises(InvalidDefinition, match=r"takes more than 0\.01 seconds to derive, expected a shorter formula"):
        derive(layer)


def test_what_is_not_decided_is_neither_proved_nor_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    derivation = derive(normalized())
    monkeypatch.setattr(budgets, "PROOF", 0.0)
    monkeypatch.setattr(budgets, "THEOREMS", 0.0)
    proof = prove(derivation)
    assert (proof.outcome, proof.proved) == (Outcome.UNDECIDED, False)
    assert {theorem.outcome for theorem in theorems(derivation)} == {Outcome.UNDECIDED}
    assert not any(theorem.holds for theorem in theorems(derivation))
    assert LayerReport("renamed", proof, {}, Result(), ()).verdict is Verdict.INCONCLUSIVE
    assert proof.failure is not None
    assert proof.failure.words == "whether chain rule = derivative for dxhat"
