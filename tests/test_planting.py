"""Every planted bug is caught in every layer and mode at every seed; the code it is planted in is correct."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from conftest import random_case

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug, correct
from bncheck.bugs.edits import FORWARD
from bncheck.bugs.planting import ESSENTIAL, bugs_of, shown, touched, unseen
from bncheck.case import Case, Gradients
from bncheck.inputs.recipes import Recipe
from bncheck.inputs.sizes import FEW, TELLING, shape_of
from bncheck.layers import LAYERS, Layer
from bncheck.tangents import tangent_of
from bncheck.tolerances.bounds import tolerance, truth_of
from bncheck.tolerances.verdicts import Verdict, compare, wrong_or_unstable

LAYER = LAYERS["batch_norm"]
SEEDS = 50
SORTS = {name for name, bug in BUGS.items() if not bug.effect and bug.plant is Bug.plant}
"""What edits are called that have no name of their own, and what is none: nothing to plant."""

layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())


def drawn(layer: Layer, seed: int, *, dtype: str = "float64", eps: float = 1e-3, regime: str = "ordinary") -> Case:
    """An ordinary case; layouts and sizes take turns."""
    layout = layer.layouts[seed % len(layer.layouts)]
    sizes = (TELLING, FEW)[seed // len(layer.layouts) % 2]
    return Recipe(layout, shape_of(layout, sizes), dtype, eps, regime, seed=seed).build(layer)


def examined(layer: Layer, case: Case) -> dict[str, frozenset[str]]:
    allowed = tolerance(layer, case)
    return shown(layer, case, truth_of(allowed), {name: radius.radius for name, radius in allowed.items()})


@layers
def test_every_bug_of_a_layer_is_caught_at_every_seed(layer: Layer) -> None:
    missed, planted = [], set()
    for seed in range(SEEDS):
        case = drawn(layer, seed)
        revealed, changes = examined(layer, case), touched(layer, case)
        assert set(revealed) == set(bugs_of(layer, case))
        missed += [(bug, case.origin) for bug, names in revealed.items() if not names]
        for bug, names in revealed.items():
            assert names <= changes[bug], (bug, names)
        planted |= set(revealed)
    assert missed == []
    assert len(planted) >= 23
    assert set(ESSENTIAL) <= planted | {"mean-path-missing", "variance-path-missing"}


def test_every_bug_of_the_catalogue_belongs_to_some_layer() -> None:
    planted = {bug for layer in LAYERS.values() for seed in range(24) for bug in bugs_of(layer, drawn(layer, seed))}
    planted |= set(bugs_of(LAYER, random_case(offset=1000)))
    assert planted | {name for name, bug in BUGS.items() if bug.effect} | SORTS == set(BUGS)
    assert not planted & SORTS


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@layers
def test_the_code_without_a_bug_is_correct(layer: Layer, dtype: str) -> None:
    for seed in range(12):
        case = drawn(layer, seed, dtype=dtype)
        answer, allowed = correct(case, layer), tolerance(layer, case)
        assert {value.dtype for value in answer.values()} == {case.dtype}
        assert set(answer) == set(allowed)
        radii = {name: radius.radius for name, radius in allowed.items()}
        assert not any(c.verdict.failed for c in compare(answer, truth_of(allowed), radii).values())


@layers
def test_no_two_bugs_are_the_same(layer: Layer) -> None:
    for seed in range(len(layer.layouts)):
        cases = [drawn(layer, seed, eps=eps) for eps in (0.25, 1e6)]  # below any moment, and above it
        answers = {
            name: [(n, a.tobytes(), a.shape) for case in cases for n, a in bug.vjp(case, layer).items()]
            for name, bug in bugs_of(layer, cases[0]).items()
        }
        for name, answer in answers.items():
            assert [other for other in answers if answers[other] == answer] == [name]


def with_its_own_backward(layer: Layer, case: Case) -> list[str]:
    """The bugs of the forward pass whose backward pass is the reverse sweep of that."""
    names = []
    for name, bug in bugs_of(layer, case).items():
        for edit in bug.edits(layer, case.layout, tuple(case.parameters))[:1]:
            own = edit.program.swept(edit.program.forward)
            if edit.side == FORWARD and edit.program.backward == own.backward and "y" in touched(layer, case)[name]:
                names.append(name)
    return names


@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_eval", "layer_norm", "group_norm", "rms_norm"])
def test_a_bug_of_the_forward_pass_has_the_backward_pass_of_its_own_forward(name: str) -> None:
    """Consistent, and it does not conform: differences of the forward pass with the bug give its gradients."""
    layer, checked = LAYERS[name], set()
    for seed in range(2 * len(layer.layouts)):
        case = drawn(layer, seed, eps=0.25)
        for bug in with_its_own_backward(layer, case):
            answer = BUGS[bug].vjp(case, layer)
            for gradient, slope, difference in slopes(partial(BUGS[bug].forward, layer=layer), answer, case):
                assert abs(slope - difference) <= 1e-7 * case.x.size, (bug, gradient)
            checked.add(bug)
    assert len(checked) >= 5


def slopes(forward: Callable[[Case], Gradients], answer: Gradients, case: Case) -> Iterator[tuple[str, float, float]]:
    """Each gradient along a random direction, and the central difference of Σ dy·y along that."""
    rng = np.random.default_rng(0)
    inputs = {"x": case.x, **case.parameters}
    for name, values in inputs.items():
        direction = rng.normal(size=values.shape)
        ends = []
        for step in (1e-5, -1e-5):
            there = {**inputs, name: values + step * direction}
            moved = Case(case.layout, there.pop("x"), case.dy, there, case.eps, state=case.state)
            ends.append(float((forward(moved)["y"] * case.dy).sum()))
        yield f"d{name}", float((answer[f"d{name}"] * direction).sum()), (ends[0] - ends[1]) / 2e-5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_one_pass_variance_is_caught_far_from_zero_and_called_unstable(dtype: str) -> None:
    bug = BUGS["one-pass-variance"]
    for seed in range(SEEDS):
        near, far = (random_case((32, 4), dtype, seed, offset=offset) for offset in (0.0, 1000.0))
        assert "one-pass-variance" not in bugs_of(LAYER, near)
        assert examined(LAYER, far)["one-pass-variance"]
    assert wrong_or_unstable(bug.vjp, LAYER, far, "dx") is Verdict.UNSTABLE


@pytest.mark.parametrize("layer", [LAYERS["batch_norm"], LAYERS["batch_norm_eval"], LAYERS["batch_norm_jvp"]])
def test_effects_show_in_what_the_caller_has(layer: Layer) -> None:
    for dtype, other in (("float64", "float32"), ("float32", "float64")):
        case = drawn(layer, 1, dtype=dtype)
        assert {v.dtype for v in BUGS["dtype-changed"].vjp(case, layer).values()} == {np.dtype(other)}
    for bug, held in (("mutates-input", {"x": case.x}), ("state-changed", dict(case.state))):
        if not held:
            continue
        with pytest.raises(ValueError, match="read-only"):
            BUGS[bug].vjp(case, layer)
        before = {name: value.copy() for name, value in held.items()}
        for value in held.values():
            value.setflags(write=True)
        BUGS[bug].vjp(case, layer)
        assert all((before[name] != value).any() for name, value in held.items())


@layers
def test_a_single_element_is_off_and_all_others_are_right(layer: Layer) -> None:
    case = drawn(layer, 0)
    answer, right = BUGS["one-element"].vjp(case, layer), correct(case, layer)
    name = tangent_of("dx") if layer.primal else "dx"
    assert (answer[name] != right[name]).sum() == 1
    assert all(np.array_equal(answer[other], right[other]) for other in right if other != name)


def test_a_case_on_which_an_essential_bug_passes_is_vacuous() -> None:
    assert unseen(examined(LAYER, random_case())) == ()
    assert "zero" in unseen(examined(LAYER, random_case((1, 4))))
    for layer in LAYERS.values():
        plain = Recipe(layer.layouts[0], (3,) * len(layer.layouts[0].axes), affine=False).build(layer)
        assert "gamma-missing" not in examined(layer, plain)


def test_a_layer_has_no_room_for_what_it_does_not_compute() -> None:
    rms, plain = LAYERS["rms_norm"], LAYERS["batch_norm_eval"]
    for layer, name in ((rms, "mean-path-missing"), (rms, "dbeta-not-dy"), (plain, "variance-path-missing")):
        assert BUGS[name].formulas(layer) == ("", "")
        with pytest.raises(LookupError, match=name):
            BUGS[name].vjp(drawn(layer, 0), layer)


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
def test_every_entry_is_told_in_full(bug: Bug) -> None:
    assert bug.words
    assert bug.words == bug.words.rstrip(".")
    assert bug.fix.endswith(".")
    assert bug.hides.endswith(".")
    assert bug.wrong != bug.right
    for code in (bug.wrong, bug.right):
        ast.parse(code.replace("return", "_ ="))
    assert all(re.fullmatch(r"[\w./-]+#\d+", issue) for issue in bug.seen)
    for layer in LAYERS.values():
        for layout in layer.layouts:
            edits = bug.edits(layer, layout, layer.parameters)
            computed, right = bug.formulas(layer, layout)
            assert bool(edits) == bool(computed) == bool(right)
            assert not set("{}⟦⟧∂?#") & set((computed + right).replace("∂ℓ/∂", ""))
            if edits:
                assert computed != right
                assert computed.split(" = ")[0] == right.split(" = ")[0], "two formulas of one quantity"
