"""Theorems on numbers: borne out on every layer and dtype's data, and broken by a backward pass that is wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp

from bncheck.campaign import theorems as evaluation
from bncheck.campaign.theorems import shares
from bncheck.inputs.recipes import REGIMES, Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.theorems import Coincidence, Theorem, theorems
from bncheck.tolerances import bounds

STATED = [layer for layer in LAYERS.values() if theorems(derive(layer))]


@pytest.mark.parametrize("layer", STATED, ids=lambda layer: layer.name)
def test_rounding_explains_what_is_left_of_every_theorem(layer: Layer) -> None:
    for k, regime in enumerate(REGIMES):
        layout = layer.layouts[k % len(layer.layouts)]
        case = Recipe(layout, (3, 4, 2, 2, 2)[: len(layout.axes)], "float32", 1e-3, regime, seed=k).build(layer)
        for affine in (True, False):
            derivation = derive(layer, layout, tuple(case.parameters))
            if affine:
                found = shares(theorems(derivation), case)
                assert found
                assert max(found.values()) <= 1, (regime, found)


ABOUT_DX = {"gradient-projection", "scale-inputs", "scale-weights", "scale-gradient", "weights-orthogonal"}
SHOWN = {
    "batch_norm": {"gradient-sum", *ABOUT_DX},
    "batch_norm_jvp": {"transpose", "hessian"},
    "rms_norm": ABOUT_DX,
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_wrong_gradient_breaks_the_theorems_about_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One element of dx off by a millionth, wherever the layer itself is asked: the theorems about dx notice."""
    layer = LAYERS[name]
    case = Recipe(layer.layouts[0], (6, 3), eps=0.1, seed=4).build(layer)
    right = bounds.enclosed

    def wrong(layer: Layer, case: Any, *rest: Any, **instead: Any) -> Any:
        known = right(layer, case, *rest, **instead)
        if layer.name != name:
            return known
        nudge = np.zeros(known["dx"].shape)
        nudge[0, 0] = 1e-6
        gradient = "dx_tangent" if name.endswith("_jvp") else "dx"
        return known | {"dx": known["dx"] + nudge, gradient: known[gradient] + nudge}

    monkeypatch.setattr(evaluation, "enclosed", wrong)
    found = shares(theorems(derive(layer, case.layout)), case)
    assert {theorem for theorem, share in found.items() if share > 1} >= SHOWN[name]


def test_what_does_not_hold_is_refuted_by_numbers_too() -> None:
    layer = LAYERS["batch_norm"]
    case = Recipe(layer.layouts[0], (6, 3), eps=0.1).build(layer)
    stated = [t for t in theorems(derive(layer, case.layout)) if isinstance(t, Theorem)]
    false = [replace(theorem, right=theorem.right + sp.Rational(1, 10**6)) for theorem in stated]
    assert all(share > 1 for share in shares(false, case).values())
    assert not any(theorem.holds for theorem in false)


def test_layers_that_do_not_coincide_are_told_apart() -> None:
    layer = LAYERS["group_norm"]
    case = Recipe(layer.layouts[1], (2, 2, 3, 4), eps=0.1).build(layer)
    plain = replace(case, parameters={"gamma": case.parameters["gamma"]})
    (one_group,) = [t for t in theorems(derive(layer, case.layout)) if t.name == "one-group"]
    assert isinstance(one_group, Coincidence)
    assert shares([one_group], plain)["one-group"] <= 1
    assert shares([replace(one_group, other=LAYERS["rms_norm"])], plain)["one-group"] > 1
