"""The lowered source: readable, in place, dtype-preserving, loop-free, and visible in tracebacks."""

import inspect
import re
import traceback

import numpy as np
import pytest
from conftest import random_case

from bncheck.case import Layout
from bncheck.formats import DTYPES
from bncheck.layers import Layer
from bncheck.oracles import symbolic
from bncheck.oracles.symbolic.lowering import lower


def test_the_source_reads_like_a_slide(batch_norm: Layer) -> None:
    source = lower(batch_norm, Layout("NCHW", "NHW", "C")).source
    assert max(map(len, source.splitlines())) <= 88
    assert len(source.splitlines()) <= 20
    assert not re.search(r"\b(for|while)\b", source.replace("for x, dy of shape", ""))
    assert "x - mean" in source  # centred before anything is squared or summed


def test_inspect_and_tracebacks_show_it(batch_norm: Layer) -> None:
    lowered = lower(batch_norm, batch_norm.layouts[0])
    assert inspect.getsource(lowered.backward) in lowered.source
    try:
        lowered.backward(np.ones((2, 2)), np.ones((2, 2)), np.ones((1, 2)), np.ones((1, 2)), "not an array")
    except TypeError:
        assert "dx *= gamma * inv_std" in traceback.format_exc()
    else:
        pytest.fail("a string for gamma was accepted")


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_no_array_is_upcast_or_changed(batch_norm: Layer, dtype: str) -> None:
    case = random_case(dtype=dtype)
    before = [case.x.copy(), case.dy.copy(), *(p.copy() for p in case.parameters.values())]
    for value in symbolic.vjp(batch_norm, case).values():
        assert value.dtype == case.dtype
    for was, now in zip(before, [case.x, case.dy, *case.parameters.values()], strict=True):
        np.testing.assert_array_equal(was, now)


def test_every_layout_with_and_without_parameters(batch_norm: Layer) -> None:
    """The same numbers in another layout give the same gradients."""
    case = random_case((4, 3, 2, 2))
    last = Layout("NHWC", reduced="NHW", affine="C")
    moved = type(case)(last, case.x.transpose(0, 2, 3, 1), case.dy.transpose(0, 2, 3, 1), case.parameters, case.eps)
    first, second = symbolic.vjp(batch_norm, case), symbolic.vjp(batch_norm, moved)
    np.testing.assert_allclose(first["dx"].transpose(0, 2, 3, 1), second["dx"], rtol=1e-12)
    plain = type(case)(case.layout, case.x, case.dy, {}, case.eps)
    assert set(symbolic.vjp(batch_norm, plain)) == {"y", "dx"}


def test_an_input_is_never_overwritten_when_no_array_can_be_reused() -> None:
    def shifted(x, gamma=1, eps=1e-5, *, mean):  # type: ignore[no-untyped-def]  # the form that users write
        mu = mean(x)
        return {"mean": mu, "y": gamma * (x - mu)}

    layer = Layer(shifted, (Layout("NC", "N", "C"),))
    case = random_case()
    only_gamma = type(case)(case.layout, case.x, case.dy, {"gamma": case.parameters["gamma"]}, case.eps)
    expected = case.parameters["gamma"] * (case.dy - case.dy.mean(axis=0))
    np.testing.assert_allclose(symbolic.vjp(layer, only_gamma)["dx"], expected, atol=1e-14)
