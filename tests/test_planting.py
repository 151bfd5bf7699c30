"""Every planted bug is caught in every layer and mode at every seed; the code it is planted in is correct."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from bncheck.bugs.mutants import BATCH_NORM, ESSENTIAL, MUTANTS, Mutant, correct, mutants_for, shown, traits, unseen
from bncheck.bugs.staged import Backward, Forward
from conftest import random_case

from bncheck.bugs import staged
from bncheck.case import Array, Case
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.tolerances.bounds import tolerance, truth_of
from bncheck.tolerances.verdicts import Verdict, compare, wrong_or_unstable

SEEDS = 50
SIZES = (
    {"N": 5, "C": 3, "L": 5, "H": 2, "W": 3, "D": 5, "G": 2, "K": 3},
    {"N": 6, "C": 2, "L": 4, "H": 3, "W": 2, "D": 3, "G": 3, "K": 2},
)


def drawn(layer: Layer, seed: int, *, dtype: str = "float64", eps: float = 1e-3, regime: str = "ordinary") -> Case:
    """An ordinary case; layouts and sizes take turns."""
    layout = layer.layouts[seed % len(layer.layouts)]
    sizes = SIZES[seed // len(layer.layouts) % len(SIZES)]
    return Recipe(layout, tuple(sizes[axis] for axis in layout.axes), dtype, eps, regime, seed=seed).build(layer)


def examined(layer: Layer, case: Case) -> dict[str, frozenset[str]]:
    truth = truth_of(tolerance(layer, case))
    return shown(layer, case, truth, {name: radius.radius for name, radius in tolerance(layer, case).items()})


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_every_bug_of_a_layer_is_caught_at_every_seed(layer: Layer) -> None:
    missed, seen = [], set()
    for seed in range(SEEDS):
        case = drawn(layer, seed)
        found = examined(layer, case)
        assert set(found) == set(mutants_for(layer, case)), "the code without a bug must pass"
        missed += [(bug, case.origin) for bug, names in found.items() if not names]
        for bug, names in found.items():
            assert {name.removesuffix("_tangent") for name in names} <= MUTANTS[bug].shows, (bug, names)
        seen |= set(found)
    assert missed == []
    assert len(seen) >= 23
    assert set(ESSENTIAL) <= seen | {"mean-path-missing", "variance-path-missing"}


def test_every_bug_of_the_catalogue_belongs_to_some_layer() -> None:
    planted = {bug for layer in LAYERS.values() for seed in range(24) for bug in mutants_for(layer, drawn(layer, seed))}
    far = random_case(offset=1000)
    assert planted | set(mutants_for(BATCH_NORM, far)) | {m.id for m in MUTANTS.values() if m.effect} == set(MUTANTS)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_the_code_without_a_bug_is_correct(layer: Layer, dtype: str) -> None:
    for seed in range(12):
        case = drawn(layer, seed, dtype=dtype)
        wide = truth_of(tolerance(layer, case))
        got = correct(case, layer)
        assert {value.dtype for value in got.values()} == {case.dtype}
        allowed = {name: radius.radius for name, radius in tolerance(layer, case).items()}
        assert set(got) == set(allowed)
        assert not any(c.verdict.failed for c in compare(got, wide, allowed).values())


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_no_two_bugs_are_the_same(layer: Layer) -> None:
    for seed in range(len(layer.layouts)):
        cases = [drawn(layer, seed, eps=eps) for eps in (0.25, 100.0)]  # below the variance, and above it
        answers = {
            name: [(n, a.tobytes(), a.shape) for case in cases for n, a in mutant.vjp(case, layer).items()]
            for name, mutant in mutants_for(layer, cases[0]).items()
        }
        for name, one in answers.items():
            assert [other for other, two in answers.items() if one == two] == [name]


FORWARD = [m.id for m in MUTANTS.values() if m.forward_dials != Forward() and m.backward_dials == Backward()]


@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_eval", "layer_norm", "group_norm", "rms_norm"])
def test_a_bug_of_the_forward_pass_has_the_backward_pass_of_its_own_forward(name: str) -> None:
    """Consistent, and it does not conform: differences of the forward pass with the bug give its gradients."""
    layer, checked = LAYERS[name], set()
    for seed in range(2 * len(layer.layouts)):
        case = drawn(layer, seed, eps=0.25)
        for bug in set(FORWARD) & set(mutants_for(layer, case)):
            mutant = MUTANTS[bug]

            def forward(x: Array, parameters: Any, mutant: Mutant = mutant, case: Case = case) -> Array:
                moved = dataclasses.replace(case, x=x, parameters=parameters)
                return np.asarray(staged.forward(layer, moved, mutant.forward_dials).y)

            own = one_by_one(forward, case)
            got = mutant.vjp(case, layer)
            for gradient in case.gradient_names:
                np.testing.assert_allclose(got[gradient], own[gradient], rtol=0, atol=1e-7, err_msg=f"{bug} {gradient}")
            checked.add(bug)
    assert len(checked) >= 5


def one_by_one(forward: Any, case: Case) -> dict[str, Array]:
    """Central differences, one element at a time: a bug may mix what ought to be groups."""
    inputs = {"x": np.array(case.x), **{n: np.array(a) for n, a in case.parameters.items()}}
    found = {}
    for name, values in inputs.items():
        gradient = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            ends = []
            for step in (1e-5, -1e-5):
                there = {**inputs, name: values.copy()}
                there[name][index] += step
                ends.append(float((forward(there.pop("x"), there) * case.dy).sum()))
            gradient[index] = (ends[0] - ends[1]) / 2e-5
        found[f"d{name}"] = gradient
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_one_pass_variance_is_caught_far_from_zero_and_called_unstable(dtype: str) -> None:
    bug = MUTANTS["one-pass-variance"]
    for seed in range(SEEDS):
        near, far = (random_case((32, 4), dtype, seed, offset=offset) for offset in (0.0, 1000.0))
        assert "one-pass-variance" not in mutants_for(BATCH_NORM, near)
        assert examined(BATCH_NORM, far)["one-pass-variance"]
    assert wrong_or_unstable(bug.vjp, BATCH_NORM, far, "dx") is Verdict.UNSTABLE


@pytest.mark.parametrize("layer", [LAYERS["batch_norm"], LAYERS["batch_norm_eval"], LAYERS["batch_norm_jvp"]])
def test_effects_show_in_what_the_caller_has(layer: Layer) -> None:
    for dtype, other in (("float64", "float32"), ("float32", "float64")):
        case = drawn(layer, 1, dtype=dtype)
        assert {v.dtype for v in MUTANTS["dtype-changed"].vjp(case, layer).values()} == {np.dtype(other)}
    for bug, held in (("mutates-input", {"x": case.x}), ("state-changed", dict(case.state))):
        if not MUTANTS[bug].needs <= traits(layer, case):
            continue
        with pytest.raises(ValueError, match="read-only"):
            MUTANTS[bug].vjp(case, layer)
        before = {name: value.copy() for name, value in held.items()}
        for value in held.values():
            value.setflags(write=True)
        MUTANTS[bug].vjp(case, layer)
        assert all((before[name] != value).any() for name, value in held.items())


def test_a_case_on_which_an_essential_bug_passes_is_vacuous() -> None:
    assert unseen(examined(BATCH_NORM, random_case())) == ()
    assert "zero" in unseen(examined(BATCH_NORM, random_case((1, 4))))
    for layer in LAYERS.values():
        plain = Recipe(layer.layouts[0], (3,) * len(layer.layouts[0].axes), affine=False).build(layer)
        assert "gamma-missing" not in examined(layer, plain)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_every_entry_is_told_in_full(mutant: Mutant) -> None:
    assert mutant.words
    assert mutant.words == mutant.words.rstrip(".")
    assert mutant.fix.endswith(".")
    turned = (mutant.forward_dials, mutant.backward_dials) != (Forward(), Backward())
    assert turned != bool(mutant.effect)
    for layer in LAYERS.values():
        got, right = mutant.formulas(layer)
        assert got != right or not mutant.needs <= traits(layer, drawn(layer, 0))
        assert not set("{}⟦⟧") & set(got + right)
        if mutant.needs <= traits(layer, drawn(layer, 0)) and " = " in got and " = " in right:
            assert re.split(r"\[| = ", got)[0] == re.split(r"\[| = ", right)[0], "two formulas of one quantity"


def test_every_dial_is_turned_by_some_bug() -> None:
    for dials, default in (("forward_dials", Forward()), ("backward_dials", Backward())):
        for field in dataclasses.fields(default):
            used = [
                m.id for m in MUTANTS.values() if getattr(getattr(m, dials), field.name) != getattr(default, field.name)
            ]
            assert used, field.name
