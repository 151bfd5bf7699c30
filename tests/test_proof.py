"""The proof holds for batch norm, and names the step at fault when an equation or the definition is wrong."""

from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

from bncheck.case import Layout
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.symbolic import published
from bncheck.oracles.symbolic.derivation import SIZES, derive, roles
from bncheck.oracles.symbolic.proof import prove
from bncheck.oracles.symbolic.symbols import gradient_symbol

BATCH_NORM = LAYERS["batch_norm"]


def test_all_forms_are_equal_for_symbolic_sizes() -> None:
    proof = prove(derive(BATCH_NORM))
    assert proof.proved
    assert proof.failure is None
    assert {step.gradient for step in proof.steps} == {"dxhat", "dvar", "dmean", "dx", "dgamma", "dbeta"}
    sizes = set().union(*(e.free_symbols for e in derive(BATCH_NORM).closed.values()))
    assert SIZES["i"] in sizes  # m is still a letter: nothing was put in for it


def test_one_derivation_speaks_for_every_layout() -> None:
    for layout in BATCH_NORM.layouts:
        assert derive(BATCH_NORM, layout).closed == derive(BATCH_NORM).closed
    assert roles(Layout("NCHW", reduced="N", affine="CHW")) == {"i": "N", "c": "CHW"}
    assert roles(Layout("NCHW", reduced="CHW", affine="CHW")) == {"n": "N", "k": "CHW"}


def test_without_parameters_too() -> None:
    derivation = derive(BATCH_NORM, parameters=())
    assert derivation.outputs == ("dx",)
    assert prove(derivation).proved


@pytest.mark.parametrize("gradient", ["dxhat", "dvar", "dmean", "dx", "dgamma", "dbeta"])
def test_a_wrong_chain_rule_equation_is_named(gradient: str) -> None:
    derivation = derive(BATCH_NORM)
    wrong = dict(derivation.chain_rule)
    wrong[gradient] = wrong[gradient] * sp.Rational(1, 2)
    failure = prove(replace(derivation, chain_rule=wrong)).failure
    assert failure is not None
    assert failure.gradient == gradient


def test_a_coefficient_on_the_sum_that_vanishes_does_not_make_dx_wrong() -> None:
    """Σ(x − μ) is identically 0: an equation with another coefficient on it differs from the paper, not in value."""
    derivation = derive(BATCH_NORM)
    other = dict(derivation.chain_rule)
    dvar = gradient_symbol(derivation.symbol("var"))
    other["dmean"] = sp.Add(*[term for term in other["dmean"].args if not term.has(dvar)])
    steps = prove(replace(derivation, chain_rule=other)).steps
    assert {s.gradient for s in steps if not s.holds} == {"dmean"}
    assert all(s.holds for s in steps if s.gradient == "dx")


@pytest.mark.parametrize("gradient", ["dx", "dgamma", "dbeta"])
def test_a_wrong_closed_form_is_named(gradient: str) -> None:
    derivation = derive(BATCH_NORM)
    wrong = {**derivation.closed, gradient: derivation.closed[gradient] + derivation.symbol("gamma")}
    failure = prove(replace(derivation, closed=wrong)).failure
    assert failure is not None
    assert (failure.gradient, failure.claim) == (gradient, "closed form = derivative")


def test_a_wrong_definition_is_named_by_the_literature() -> None:
    """Without centring the variance the gradient is right for that forward, and not what the paper prints."""

    def batch_norm(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
        mu = mean(x)
        var = mean(x * x)
        xhat = (x - mu) / sqrt(var + eps)
        return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * xhat + beta}

    proof = prove(derive(Layer(batch_norm, BATCH_NORM.layouts)))
    assert not proof.proved
    assert proof.failure is not None
    assert proof.failure.claim == "chain rule = literature"
    assert proof.failure.gradient in ("dmean", "dx")


def test_a_wrong_line_in_the_typed_literature_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def misprint(v: Any, total: Any, shared: Any, m: Any) -> dict[str, sp.Expr]:
        return {**published.batch_norm(v, total, shared, m), "dvar": total(v.dxhat * (v.x - v.mean)) / 2}

    monkeypatch.setattr("bncheck.oracles.symbolic.proof.PUBLISHED", {"batch_norm": misprint})
    failure = prove(derive(BATCH_NORM)).failure
    assert failure is not None
    assert (failure.gradient, failure.claim) == ("dvar", "chain rule = literature")
