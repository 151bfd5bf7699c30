"""Which term is wrong: every planted bug is called by its name, several by theirs, and what is new is not given one."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from bncheck.bugs.mutants import BATCH_NORM, MUTANTS, Mutant, correct, mutants_for
from bncheck.bugs.staged import Backward, Forward

from bncheck.bugs import staged
from bncheck.bugs.diagnose import UNKNOWN, Diagnosis, diagnose, probes
from bncheck.case import Case, Gradients, Vjp
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import graph, symbolic

FLAT, IMAGES = BATCH_NORM.layouts[0], BATCH_NORM.layouts[2]
SHAPES = ((8, 4), (32, 16), (64, 64), (4, 3, 8, 8))


def planted(layer: Layer, *mutants: Mutant) -> Vjp:
    """Mutants planted together; each turns dials of its own."""
    forward: dict[str, Any] = {}
    backward: dict[str, Any] = {}
    for mutant in mutants:
        for turned, dials in ((forward, mutant.forward_dials), (backward, mutant.backward_dials)):
            turned |= {name: value for name, value in vars(dials).items() if value != getattr(type(dials)(), name)}
    return partial(_answer, layer, Forward(**forward), Backward(**backward))


def _answer(layer: Layer, forward: Forward, backward: Backward, case: Case) -> Gradients:
    return staged.vjp(layer, case, forward, backward)


def ids(found: tuple[Diagnosis, ...]) -> tuple[str, ...]:
    return tuple(diagnosis.id for diagnosis in found)


def misnamed(layer: Layer, cases: tuple[Case, ...]) -> tuple[Counter[tuple[str, ...]], int]:
    """Which bugs were not the only name given, and how many were planted."""
    confusion: Counter[tuple[str, ...]] = Counter()
    bugs = mutants_for(layer, cases[0])
    if layer is BATCH_NORM:  # a one-pass variance is one far from zero, and told from the y of a training mode
        bugs |= mutants_for(layer, cases[-1])
    for name, mutant in bugs.items():
        found = ids(diagnose(layer, partial(mutant.vjp, layer=layer), cases))
        if found != (name,):
            confusion[name, *found] += 1
    return confusion, len(bugs)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_bug_is_called_by_its_name(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    layout = FLAT if len(shape) == 2 else IMAGES
    confusion, count = misnamed(BATCH_NORM, probes(BATCH_NORM, layout, shape, dtype=dtype, seed=seed))
    assert count >= 36
    assert not confusion


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_every_bug_of_every_layer_is_called_by_its_name(layer: Layer) -> None:
    confusion, count = misnamed(layer, probes(layer, layer.layouts[0], seed=0))
    assert count >= 22
    assert not confusion


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_every_bug_is_called_by_its_name_in_every_layout(layer: Layer) -> None:
    for seed, layout in enumerate(layer.layouts[1:], start=1):
        confusion, _ = misnamed(layer, probes(layer, layout, seed=seed))
        assert not confusion


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_a_correct_implementation_has_no_diagnosis(layer: Layer, dtype: str) -> None:
    oracles: tuple[Callable[[Layer, Case], Gradients], ...] = (symbolic.vjp, graph.vjp)
    for seed, layout in enumerate(layer.layouts):
        cases = probes(layer, layout, dtype=dtype, seed=seed)
        assert diagnose(layer, partial(correct, layer=layer), cases) == ()
        for oracle in oracles:
            found = set(ids(diagnose(layer, partial(oracle, layer), cases)))
            assert found == set() or (found == {"dtype-changed"} and dtype != "float64")


PAIRS = (
    ("mean-path-missing", "gamma-missing"),
    ("mean-path-missing", "dgamma-not-xhat"),
    ("variance-path-missing", "reduced-by-mean"),
    ("gamma-twice", "ddof"),
    ("eps-missing-in-backward", "gamma-missing"),
    ("eps-missing-in-backward", "reduced-by-mean"),
    ("eps-outside-sqrt", "mean-path-missing"),
    ("eps-outside-in-forward-only", "mean-path-missing"),
    ("ddof-forward", "dgamma-from-x"),
    ("axis-wrong", "variance-path-missing"),
    ("eps-outside-sqrt", "ddof-forward"),
    ("path-sign", "dbeta-not-dy"),
)


@pytest.mark.parametrize("pair", PAIRS, ids=map(" and ".join, PAIRS))
def test_two_bugs_are_two(pair: tuple[str, str]) -> None:
    for seed, layout in itertools.product(range(2), (FLAT, IMAGES)):
        vjp = planted(BATCH_NORM, *(MUTANTS[name] for name in pair))
        found = diagnose(BATCH_NORM, vjp, probes(BATCH_NORM, layout, seed=seed))
        assert set(ids(found)) == set(pair)


def test_a_bug_of_each_part_is_three_bugs() -> None:
    for chosen in (
        ("batch_norm", "eps-outside-sqrt", "mean-path-missing", "dgamma-not-xhat"),
        ("batch_norm_running", "momentum-inverted", "variance-path-missing", "reduced-by-mean"),
        ("layer_norm", "batch-axis-reduced", "gamma-outside-sum", "dgamma-from-centred"),
    ):
        layer, bugs = LAYERS[chosen[0]], [MUTANTS[name] for name in chosen[1:]]
        assert set(ids(diagnose(layer, planted(layer, *bugs)))) == set(chosen[1:])


def test_another_eps_is_named_with_its_value() -> None:
    def hard_coded(case: Case) -> Gradients:
        return correct(replace(case, eps=1e-3))

    (found,) = diagnose(BATCH_NORM, hard_coded)
    assert found.id == "eps-ignored"
    assert found.explanation.endswith("0.001 where 0.5 was given")
    in_backward = planted(BATCH_NORM, replace(MUTANTS["eps-mismatch"], backward_dials=Backward(eps_factor=0.025)))
    (found,) = diagnose(BATCH_NORM, in_backward)
    assert found.id == "eps-mismatch"
    assert found.explanation.endswith("0.0125 where 0.5 was given")


def test_another_count_is_named_with_its_value() -> None:
    def counted(case: Case) -> Gradients:
        share = case.count / (case.count + 3)
        return staged.vjp(BATCH_NORM, case, backward_dials=Backward(mean_path=share, variance_path=share))

    (found,) = diagnose(BATCH_NORM, counted)
    assert found.id == "count-wrong"
    assert found.explanation.endswith("9 where m is 6 and 6 where m is 3")


def bent(case: Case) -> Gradients:
    return {**correct(case), "dx": correct(case)["dx"] + 0.01 * case.dy**3}


def weighted(case: Case) -> Gradients:
    return staged.vjp(BATCH_NORM, case, backward_dials=Backward(mean_path=0.7, variance_path=1.4))


def shifted(case: Case) -> Gradients:
    return {**correct(case), "y": correct(case)["y"] + 1}


def lost(case: Case) -> Gradients:
    return {**correct(case), "dgamma": np.full_like(case.parameters["gamma"], np.nan)}


@pytest.mark.parametrize(
    ("vjp", "gradient", "told"),
    [
        (bent, "dx", ["for no reason that bncheck knows", " × direct", "with dy doubled", "at m = 6 in 4 groups"]),
        (weighted, "dx", ["1 × direct + 0.7 × mean + 1.4 × variance", "unchanged with dy doubled"]),
        (shifted, "y", ["y is off by"]),
        (lost, "dgamma", ["dgamma is not finite"]),
    ],
)
def test_a_bug_that_is_not_in_the_catalogue_is_described_and_not_named(
    vjp: Vjp, gradient: str, told: list[str]
) -> None:
    (found,) = diagnose(BATCH_NORM, vjp)
    assert (found.id, found.gradient) == (UNKNOWN, gradient)
    assert all(words in found.explanation for words in told), found.explanation
    assert found.formula_expected


def test_effects_are_found_beside_the_answer() -> None:
    layer = LAYERS["batch_norm_eval"]
    for name in ("mutates-input", "state-changed", "dtype-changed"):
        for dtype in ("float64", "float32"):
            found = diagnose(layer, partial(MUTANTS[name].vjp, layer=layer), probes(layer, dtype=dtype))
            assert ids(found) == (name,)
    both = diagnose(BATCH_NORM, replace(MUTANTS["mutates-input"], backward_dials=Backward(mean_path=0)).vjp)
    assert ids(both) == ("mean-path-missing", "mutates-input")


def test_the_answer_may_be_part_of_what_is_known() -> None:
    for name in ("mean-path-missing", "eps-outside-sqrt", "axis-wrong"):
        found = diagnose(BATCH_NORM, lambda case, name=name: {"dx": MUTANTS[name].vjp(case)["dx"]})  # type: ignore[misc]
        assert ids(found) == (name,)


def test_what_cannot_be_asked_is_not_diagnosed() -> None:
    def raises(case: Case) -> Gradients:
        raise RuntimeError("no")

    assert diagnose(BATCH_NORM, raises) == ()


def test_a_diagnosis_says_what_is_computed_and_what_should_be() -> None:
    (found,) = diagnose(BATCH_NORM, MUTANTS["mean-path-missing"].vjp)
    assert found == Diagnosis(
        "mean-path-missing",
        "dx",
        found.residual,
        "the path through the mean is missing",
        "dx = (dx̂ − x̂·mean(dx̂·x̂))/s",
        "dx = (dx̂ − mean dx̂ − x̂·mean(dx̂·x̂))/s",
        "Subtract the mean of dx̂ over the group: x reaches y through μ as well.",
    )
    assert found.residual <= 1


TEXTBOOK = """
def vjp(case):
    x, dy, eps = case.x, case.dy, case.eps
    gamma, beta = case.parameters["gamma"], case.parameters["beta"]
    m = x.shape[0]
    mean = x.sum(axis=0) / m
    centred = x - mean
    var = (centred ** 2).sum(axis=0) / m
    std = np.sqrt(var + eps)
    xhat = centred / std
    y = gamma * xhat + beta
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xhat).sum(axis=0)
    dxhat = dy * gamma
    dvar = (dxhat * centred).sum(axis=0) * -0.5 * (var + eps) ** -1.5
    dmean = -(dxhat / std).sum(axis=0) + dvar * (-2 * centred).sum(axis=0) / m
    dx = dxhat / std + dvar * 2 * centred / m + dmean / m
    return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
"""

EDITS = (
    ((), "dvar * (-2 * centred).sum(axis=0) / m", "0"),
    ((), "dvar * (-2 * centred).sum(axis=0) / m", "dvar * (2 * centred).sum(axis=0) / m"),
    ((), "(centred ** 2).sum(axis=0) / m", "np.var(x, axis=0)"),
    (("mean-path-missing",), " + dmean / m", ""),
    (("variance-path-missing",), " + dvar * 2 * centred / m", ""),
    (("statistics-constant",), " + dvar * 2 * centred / m + dmean / m", ""),
    (("mean-path-doubled",), "+ dmean / m", "+ 2 * dmean / m"),
    (("variance-path-doubled",), "* -0.5 *", "* -1.0 *"),
    (("path-sign",), " + dvar * 2 * centred / m + dmean / m", " - dvar * 2 * centred / m - dmean / m"),
    (("mean-path-own-sample",), "-(dxhat / std).sum(axis=0)", "-(dxhat / std)"),
    (("exponent-wrong",), "** -1.5", "** -3 / 2"),
    (("exponent-sign",), "** -1.5", "** 1.5"),
    (("ddof",), "centred / m + dmean / m", "centred / (m - 1) + dmean / (m - 1)"),
    (("gamma-missing",), "dxhat = dy * gamma", "dxhat = dy"),
    (("gamma-twice",), "dxhat = dy * gamma", "dxhat = dy * gamma * gamma"),
    (("returns-dxhat",), '"dx": dx,', '"dx": dxhat,'),
    (("eps-outside-in-forward-only",), "np.sqrt(var + eps)", "np.sqrt(var) + eps"),
    (("eps-ignored",), "eps = case.x, case.dy, case.eps", "eps = case.x, case.dy, 1e-3"),
    (("ddof-in-forward-only",), "** 2).sum(axis=0) / m", "** 2).sum(axis=0) / (m - 1)"),
    (("reduced-by-mean",), "dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)"),
    (("dgamma-not-xhat",), "(dy * xhat)", "(dy * y)"),
    (("dgamma-from-centred",), "(dy * xhat)", "(dy * centred)"),
    (("dbeta-not-dy",), "dbeta = dy.sum", "dbeta = y.sum"),
    (("one-pass-variance",), "(centred ** 2).sum(axis=0) / m", "(x * x).sum(axis=0) / m - mean * mean"),
    (("mutates-input",), "centred = x - mean", "x -= mean; centred = x"),
    (("dtype-changed",), "dx = dxhat / std", "dx = np.float64(1) * dxhat / std"),
)


def edited(old: str, new: str) -> Vjp:
    assert TEXTBOOK.count(old) == 1
    names: dict[str, Any] = {"np": np}
    exec(TEXTBOOK.replace(old, new), names)
    vjp: Vjp = names["vjp"]
    return vjp


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("expected", "old", "new"), EDITS, ids=[f"{new} for {old}" for _, old, new in EDITS])
def test_a_bug_in_code_of_another_style_is_called_by_its_name(
    expected: tuple[str, ...], old: str, new: str, dtype: str
) -> None:
    if expected == ("dtype-changed",) and dtype == "float64":
        expected = ()
    for shape in SHAPES[:2]:
        assert ids(diagnose(BATCH_NORM, edited(old, new), probes(BATCH_NORM, FLAT, shape, dtype=dtype))) == expected
