"""One implementation on one case: two questions, and a contract that is held."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import SHAPES, random_case

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.bugs.planting import touched
from bncheck.case import Array, Case, Layout
from bncheck.errors import InvalidInput
from bncheck.examination.one_case import check
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS
from bncheck.oracles import finite_difference
from bncheck.tolerances.verdicts import Verdict


@pytest.mark.parametrize("shape", SHAPES)
def test_every_planted_bug_is_caught_by_both_questions_and_correct_code_by_neither(shape: tuple[int, ...]) -> None:
    case = random_case(shape)
    forward = finite_difference.definition(LAYERS["batch_norm"], case)
    found = check(correct, case, forward=forward)
    assert found
    assert {name for name, finding in found.gradients.items() if finding.consistent} == {"dx", "dgamma", "dbeta"}
    for name, returned in touched(LAYERS["batch_norm"], case).items():
        if "y" in returned or not returned:
            continue  # its backward is right for its own forward, or it is one far from zero only
        found = check(BUGS[name].vjp, case, forward=forward)
        assert (found.conforms, found.consistent) == (Verdict.WRONG, Verdict.WRONG), name


def test_right_for_its_own_forward_and_not_the_layer() -> None:
    """eps outside the root: consistent, and it does not conform."""
    case = random_case(eps=0.1)

    def parts(x: Any) -> Any:
        mean, std = x.mean(axis=0), x.std(axis=0)
        return (x - mean) / (std + 0.1), std

    def forward(x: Any, parameters: Any) -> Any:
        return parameters["gamma"] * parts(x)[0] + parameters["beta"]

    def backward(case: Any) -> Any:
        xhat, std = parts(case.x)
        dxhat = case.dy * case.parameters["gamma"]
        centred = xhat * (std + 0.1)
        through_std = centred / std * (dxhat * xhat).mean(axis=0)
        return {"dx": (dxhat - dxhat.mean(axis=0) - through_std) / (std + 0.1)}

    found = check(backward, case, forward=forward)
    assert found.gradients["dx"].consistent is Verdict.CORRECT
    assert found.gradients["dx"].conforms is Verdict.WRONG


@pytest.mark.parametrize(
    "answer",
    [None, {}, np.zeros((8, 4)), {"dz": np.zeros((8, 4))}, {"dx": np.zeros((8, 4), complex)}, {"dx": None}],
    ids=["None", "empty", "an array", "an unknown name", "complex numbers", "no array"],
)
def test_an_answer_outside_the_contract_is_refused_in_words(answer: Any) -> None:
    with pytest.raises(InvalidInput, match=r"vjp\(case\).*expected"):
        check(lambda case: answer, random_case())


def test_nan_and_a_wrong_shape_are_wrong() -> None:
    case = random_case()
    assert check(lambda c: {"dx": np.full((8, 4), np.nan)}, case).verdict is Verdict.WRONG
    assert check(lambda c: {"dx": np.zeros((4, 8))}, case).verdict is Verdict.WRONG


def test_a_case_that_could_not_have_failed_is_not_called_correct() -> None:
    case = random_case()
    ones = {name: np.ones(4) for name in case.parameters}
    constant = type(case)(case.layout, case.x, np.ones((8, 4)), case.parameters, case.eps)
    for blind in (random_case((1, 4)), type(case)(case.layout, case.x, case.dy, ones, case.eps), constant):
        found = check(correct, blind)
        assert found.verdict is Verdict.VACUOUS
        assert found.unseen
        assert not found
    assert check(correct, case).unseen == ()


def test_the_gradients_that_arrive_at_other_outputs_are_held_against_the_forward_too() -> None:
    layer = LAYERS["batch_norm_statistics"]
    case = Recipe(layer.layouts[0], (8, 4)).build(layer)
    for name, verdict in (("", Verdict.CORRECT), ("mean-gradient-ignored", Verdict.WRONG)):
        vjp = partial(BUGS[name].vjp if name else correct, layer=layer)
        found = check(vjp, case, forward=finite_difference.definition(layer, case), layer=layer)
        assert found.gradients["dx"].consistent is verdict


@pytest.mark.parametrize("seed", range(5))
def test_another_forward_may_have_smaller_groups_and_is_consistent_all_the_same(seed: int) -> None:
    """Statistics of four values where the layer takes those of 256: the differences must not step over them."""
    case = random_case((4, 3, 8, 8), seed=seed)
    small = Case(Layout("NCHW", "N", "C"), case.x, case.dy, case.parameters, case.eps)

    def forward(x: Array, parameters: Mapping[str, Array]) -> Array:
        gamma, beta = (parameters[name][:, None, None] for name in ("gamma", "beta"))
        return np.asarray(gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + case.eps) + beta)

    found = check(lambda _: correct(small), case, forward=forward)
    assert found.gradients["y"].conforms is Verdict.WRONG
    assert {finding.consistent for finding in found.gradients.values()} == {Verdict.CORRECT, None}
    wrong = check(lambda _: BUGS["mean-path-missing"].vjp(small), case, forward=forward)
    assert wrong.gradients["dx"].consistent is Verdict.WRONG
