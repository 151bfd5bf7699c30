"""Cases, layouts, recipes, strategies and real mini-batches."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from bncheck.case import Case, Layout
from bncheck.formats import DTYPES
from bncheck.inputs.minibatches import minibatches
from bncheck.inputs.recipes import EPS, REGIMES, Recipe
from bncheck.inputs.strategies import cases, recipes
from bncheck.layers import LAYERS

LAYER = LAYERS["batch_norm"]
RELAXED = settings(
    max_examples=300, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def test_a_case_is_frozen_and_a_copy() -> None:
    x = np.zeros((2, 2))
    case = Case(Layout("NC", "N", "C"), x, np.ones((2, 2)))
    x[0, 0] = 9
    assert case.x[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        case.x[0, 0] = 1
    with pytest.raises(AttributeError):
        case.eps = 1.0  # type: ignore[misc]


@RELAXED
@given(recipes())
def test_a_recipe_is_its_text_and_builds_the_same_case_twice(recipe: Recipe) -> None:
    assert Recipe.parse(str(recipe)) == recipe
    first, second = recipe.build(LAYERS["batch_norm"]), recipe.build(LAYERS["batch_norm"])
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.dy, second.dy)
    assert first.dtype == recipe.dtype
    assert first.origin == str(recipe)


@pytest.mark.parametrize(
    "wanted",
    [
        lambda c: c.count == 1,
        lambda c: c.count > 20,
        lambda c: len(c.layout.axes) == 4 and c.x.shape[0] == c.x.shape[1],
        lambda c: c.layout.axes == "NCHW" and c.x.shape[2:] == (1, 1),
        lambda c: c.layout.axes == "NCHW" and c.x.shape[2] > 1,
        lambda c: c.layout.axes == "NHWC",
        lambda c: c.layout.affine == "CHW",
        lambda c: not c.parameters,
        lambda c: bool((c.x.astype(float).var(axis=c.layout.reduced_axes) == 0).any()) and c.count > 2,
        lambda c: float(np.abs(c.x.astype(float)).max()) > 1e50,
        lambda c: float(np.abs(c.x.astype(float)).max()) < 1e-50,
        *[lambda c, d=dtype: c.dtype == d for dtype in DTYPES],
        *[lambda c, e=eps: c.eps == e for eps in EPS],
        *[lambda c, r=regime: f"/{r}/" in c.origin for regime in REGIMES],
    ],
)
def test_every_kind_of_case_is_drawn(wanted) -> None:  # type: ignore[no-untyped-def]
    as_drawn = [Phase.generate]  # to shrink what is found would take nearly all of the time
    quick = settings(max_examples=5000, database=None, suppress_health_check=list(HealthCheck), phases=as_drawn)
    assert wanted(find(cases(), wanted, settings=quick))


@RELAXED
@given(st.data())
def test_sizes_stay_within_what_was_asked(data: st.DataObject) -> None:
    case = data.draw(cases(max_count=8, max_size=40, dtypes=("float32",), regimes=("ordinary",)))
    assert case.count <= 8
    assert case.x.size <= 40
    assert case.dtype == np.float32


def test_real_mini_batches_are_real() -> None:
    found = {case.origin: case for case in minibatches(LAYER, 0, ("float64",))}
    names = ("digits", "wine", "breast_cancer", "photograph", "photograph in one group")
    assert set(found) == {f"{name}/float64" for name in names}
    digits = found["digits/float64"].x
    assert digits.shape == (16, 64)
    assert (digits.var(axis=0) == 0).sum() >= 3  # pixels that are always 0
    assert set(np.unique(digits)) <= set(range(17))
    assert found["wine/float64"].x.max() > 500
    assert found["photograph/float64"].layout.axes == "NCHW"
    again = {case.origin: case for case in minibatches(LAYER, 0, ("float64",))}
    np.testing.assert_array_equal(digits, again["digits/float64"].x)
