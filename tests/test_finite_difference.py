"""Finite differences: the truth lies within the error they claim, and nothing is taken on trust about the function."""

from collections.abc import Mapping

import numpy as np
import pytest
from conftest import EVERY, FLAT, IMAGES, random_case
from hypothesis import HealthCheck, given, settings

from bncheck.case import Array, Case
from bncheck.inputs.strategies import cases
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import ball, finite_difference
from bncheck.tolerances.bounds import tolerance

LAYER = LAYERS["batch_norm"]


def noise(case: Case) -> dict[str, Array]:
    return {name: r.radius for name, r in tolerance(LAYER, case).items()}


@settings(
    max_examples=300 if EVERY else 150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(case=cases(LAYER, dtypes=("float64", "float32")))
def test_the_truth_lies_within_the_error_each_estimate_claims(case: Case) -> None:
    case = case.astype(np.float64)
    truth, rounding = ball.vjp(LAYER, case), noise(case)
    forward = finite_difference.definition(LAYER, case)
    stepped = finite_difference.complex_step(forward, case, rounding)
    assert stepped is not None
    for found in (finite_difference.vjp(forward, case, rounding["y"]), stepped):
        for name, estimate in found.items():
            assert (truth[name].distance(estimate.value) <= estimate.error + truth[name].radius).all(), name


@pytest.mark.parametrize("shape", [(8, 4), (64, 8), (4, 3, 4, 4)])
def test_the_error_is_small_enough_to_be_of_use(shape: tuple[int, ...]) -> None:
    case = random_case(shape)
    found = finite_difference.vjp(finite_difference.definition(LAYER, case), case, noise(case)["y"])
    for estimate in found.values():
        assert estimate.error.max() < 1e-8 * np.abs(estimate.value).max()


def test_float32_functions_are_differentiated_within_a_larger_error(batch_norm: Layer) -> None:
    case = random_case((8, 4), "float32")
    found = finite_difference.vjp(finite_difference.definition(LAYER, case), case, noise(case)["y"])
    truth = ball.vjp(batch_norm, case)
    for name, estimate in found.items():
        assert (truth[name].distance(estimate.value) <= estimate.error).all()
        assert estimate.error.max() < 0.1 * np.abs(estimate.value).max()


class Counted:
    """A forward that counts its calls."""

    def __init__(self, function: finite_difference.Forward) -> None:
        self.function, self.calls, self.elements = function, 0, 0

    def __call__(self, x: Array, parameters: Mapping[str, Array]) -> Array:
        self.calls += 1
        self.elements += x.size
        return self.function(x, parameters)


def test_groups_are_moved_together_and_copies_stacked() -> None:
    case = random_case((64, 64))
    forward = Counted(finite_difference.definition(LAYER, case))
    finite_difference.vjp(forward, case, noise(case)["y"])
    assert forward.elements < 6 * case.count * case.x.size  # not 2·m·groups
    assert forward.calls < 40


def test_groups_that_see_each_other_are_moved_one_element_at_a_time() -> None:
    """Statistics over everything, where the layout says per channel: the gradient must be that of this function."""

    def over_everything(x: Array, parameters: Mapping[str, Array]) -> Array:
        return np.asarray((x - x.mean()) / np.sqrt(x.var() + 0.1))

    rng = np.random.default_rng(0)
    case = Case(FLAT, rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), eps=0.1)
    found = finite_difference.vjp(over_everything, case, np.full((4, 3), 1e-15))["dx"]
    xhat = over_everything(case.x, {})
    std = np.sqrt(case.x.var() + 0.1)
    exact = (case.dy - case.dy.mean() - xhat * (case.dy * xhat).mean()) / std
    np.testing.assert_allclose(found.value, exact, atol=1e-9)


def test_a_function_that_depends_on_the_number_of_channels_is_not_stacked() -> None:
    """It divides by the number of channels: side by side, copies would change what it computes."""

    def wrong_count(x: Array, parameters: Mapping[str, Array]) -> Array:
        return np.asarray((x - x.sum(axis=0) / x.shape[1]) / np.sqrt(0.1 + x.var(axis=0)))

    rng = np.random.default_rng(0)
    case = Case(FLAT, rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), eps=0.1)
    forward = Counted(wrong_count)
    found = finite_difference.vjp(forward, case, np.full((6, 3), 1e-15))["dx"]
    step = 1e-6
    for index in np.ndindex(6, 3):
        moved = case.x.copy()
        moved[index] += step
        slope = ((wrong_count(moved, {}) - wrong_count(case.x, {})) * case.dy).sum() / step
        assert found.value[index] == pytest.approx(slope, abs=1e-4)
    assert forward.calls > 6 * 4


def test_a_function_that_refuses_more_channels_is_still_differentiated() -> None:
    def fixed(x: Array, parameters: Mapping[str, Array]) -> Array:
        if x.shape[1] != 3:
            raise ValueError("3 channels, please")
        return finite_difference.definition(LAYER, case)(x, parameters)

    case = random_case((4, 3, 2, 2))
    assert case.layout == IMAGES
    truth = ball.vjp(LAYER, case)
    for name, estimate in finite_difference.vjp(fixed, case, noise(case)["y"]).items():
        assert (truth[name].distance(estimate.value) <= estimate.error).all()


def test_complex_steps_are_not_taken_where_the_imaginary_part_is_lost() -> None:
    case = random_case()

    def real_only(x: Array, parameters: Mapping[str, Array]) -> Array:
        return np.asarray(np.real(x) - np.real(x).mean(axis=0))

    def refuses(x: Array, parameters: Mapping[str, Array]) -> Array:
        if np.iscomplexobj(x):
            raise TypeError("real numbers only")
        return x

    assert finite_difference.complex_step(real_only, case, noise(case)) is None
    assert finite_difference.complex_step(refuses, case, noise(case)) is None


def test_the_callers_arrays_are_left_alone() -> None:
    case = random_case()
    before = case.x.copy()
    finite_difference.vjp(finite_difference.definition(LAYER, case), case, noise(case)["y"])
    np.testing.assert_array_equal(case.x, before)
