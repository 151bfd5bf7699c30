"""The Hessian of a loss is symmetric: right gradients keep to it, and bugs of the first order that break it show."""

from functools import partial

import pytest

from bncheck.bugs.catalogue.bug import correct
from bncheck.bugs.symmetry import revealed, symmetry
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import graph, symbolic

PLAIN = [layer for layer in LAYERS.values() if layer.is_plain]
SILENT = {"zero", "gamma-missing", "gamma-twice", "returns-dy", "returns-dxhat"}
"""Zero and γ's bugs are the gradient of something else; the others have no part that depends on x and breaks it."""


@pytest.mark.parametrize("layer", PLAIN, ids=lambda layer: layer.name)
def test_no_right_gradient_is_called_none(layer: Layer) -> None:
    for seed in range(50):
        layout = layer.layouts[seed % len(layer.layouts)]
        shape = (4, 3, 2, 2, 2)[: len(layout.axes)]
        regime = ("ordinary", "large-offset", "outliers")[seed % 3]
        case = Recipe(layout, shape, eps=(1e-5, 1e-1)[seed % 2], regime=regime, seed=seed).build(layer)
        for vjp in (partial(symbolic.vjp, layer), partial(graph.vjp, layer), partial(correct, layer=layer)):
            assert not symmetry(vjp, case, layer=layer, seed=seed).broken, case.origin


def test_it_reveals_bugs_of_the_first_order() -> None:
    found = revealed(LAYERS["batch_norm"])
    shown = {name for name, broken in found.items() if broken}
    assert len(shown) >= 12
    assert {"statistics-constant", "mean-path-missing", "variance-path-missing", "mean-path-doubled"} <= shown
    assert not shown & SILENT


@pytest.mark.parametrize("layer", PLAIN, ids=lambda layer: layer.name)
def test_it_reveals_some_bug_of_every_layer(layer: Layer) -> None:
    assert sum(revealed(layer).values()) >= 3
