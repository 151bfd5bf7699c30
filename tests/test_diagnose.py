"""Which term is wrong: every planted bug is called by its name, several by theirs, and what is new is described."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import EVERY

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.bugs.diagnose import UNKNOWN, Diagnosis, diagnose, reproduction
from bncheck.bugs.planting import bugs_of
from bncheck.bugs.roles import Derived, derived
from bncheck.case import Case, Gradients, Vjp
from bncheck.inputs.probes import probes
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import graph, symbolic

BATCH_NORM = LAYERS["batch_norm"]
FLAT, IMAGES = BATCH_NORM.layouts[0], BATCH_NORM.layouts[2]
SHAPES = ((8, 4), (32, 16), (64, 64), (4, 3, 8, 8))


def planted(layer: Layer, *names: str) -> Vjp:
    """Bugs planted together: each in the program that those before it left."""

    def vjp(case: Case) -> Gradients:
        parts = derived(layer, case.layout, tuple(case.parameters))
        for name in names:
            plant = BUGS[name].plant
            assert plant is not None
            program = next(iter(plant(parts))).program
            parts = Derived(dict.fromkeys(parts.styles, program))
        return program.run(case)

    return vjp


def ids(diagnoses: tuple[Diagnosis, ...]) -> tuple[str, ...]:
    return tuple(diagnosis.id for diagnosis in diagnoses)


def misnamed(layer: Layer, cases: tuple[Case, ...]) -> tuple[Counter[tuple[str, ...]], int]:
    """Which bugs were not the only name given, and how many were planted."""
    confusion: Counter[tuple[str, ...]] = Counter()
    bugs = bugs_of(layer, cases[0])
    if layer is BATCH_NORM:  # a one-pass variance is one far from zero, and told from the y of a training mode
        bugs |= bugs_of(layer, cases[-1])
    for name, bug in bugs.items():
        names = ids(diagnose(layer, partial(bug.vjp, layer=layer), cases))
        if names != (name,):
            confusion[name, *names] += 1
    return confusion, len(bugs)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [SHAPES[0], *(pytest.param(s, marks=pytest.mark.slow) for s in SHAPES[1:])])
def test_every_bug_is_called_by_its_name(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    layout = FLAT if len(shape) == 2 else IMAGES
    cases = probes(BATCH_NORM, layout, [shape, (shape[0] // 2, *shape[1:])], dtype=dtype, seed=seed)
    confusion, count = misnamed(BATCH_NORM, cases)
    assert count >= 36
    assert not confusion


SLOW = [name for name in LAYERS if name not in ("batch_norm", "batch_norm_running", "rms_norm")]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in LAYERS])
def test_every_bug_of_every_layer_is_called_by_its_name(name: str) -> None:
    layer = LAYERS[name]
    confusion, count = misnamed(layer, probes(layer, seed=0))
    assert count >= 22
    assert not confusion


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_every_bug_is_called_by_its_name_in_every_layout(layer: Layer) -> None:
    """The first is asked above; of the others the last, for time; all with BNCHECK_EVERY=1 in the environment."""
    others = list(enumerate(layer.layouts))[1:]
    for seed, layout in others if EVERY else others[-1:]:
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
            names = set(ids(diagnose(layer, partial(oracle, layer), cases)))
            assert names == set() or (names == {"dtype-changed"} and dtype != "float64")


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
    ("path-sign", "dbeta-not-dy"),
)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS[:: 1 if EVERY else 2], ids=" and ".join)
def test_two_bugs_are_two(pair: tuple[str, str]) -> None:
    diagnoses = diagnose(BATCH_NORM, planted(BATCH_NORM, *pair))
    assert set(ids(diagnoses)) == set(pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS[:: 1 if EVERY else 3], ids=" and ".join)
def test_two_bugs_are_two_in_images(pair: tuple[str, str]) -> None:
    diagnoses = diagnose(BATCH_NORM, planted(BATCH_NORM, *pair), probes(BATCH_NORM, IMAGES, seed=1))
    assert set(ids(diagnoses)) == set(pair)


def both_in_forward(case: Case) -> Gradients:
    """ε outside the root of the unbiased variance, with the backward pass that belongs to both."""
    gamma, beta, m = case.parameters["gamma"], case.parameters["beta"], case.count
    centred = case.x - case.x.mean(axis=0)
    root = np.sqrt((centred * centred).sum(axis=0) / (m - 1))
    std = root + case.eps
    xhat, dxhat = centred / std, case.dy * gamma
    dvar = -(dxhat * centred).sum(axis=0) / std**2 * 0.5 / root
    dcentred = dxhat / std + dvar * 2 * centred / (m - 1)
    dgamma, dbeta = (case.dy * xhat).sum(axis=0), case.dy.sum(axis=0)
    return {"y": gamma * xhat + beta, "dx": dcentred - dcentred.mean(axis=0), "dgamma": dgamma, "dbeta": dbeta}


def test_two_bugs_in_the_forward_pass_are_two() -> None:
    assert ids(diagnose(BATCH_NORM, both_in_forward)) == ("eps-outside-sqrt", "ddof-forward")


def test_a_bug_of_each_part_is_three_bugs() -> None:
    """In dx, in dγ and in dβ."""

    def vjp(case: Case) -> Gradients:
        parts = {"dx": "mean-path-missing", "dgamma": "dgamma-not-xhat", "dbeta": "dbeta-not-dy"}
        return {**correct(case), **{name: BUGS[bug].vjp(case)[name] for name, bug in parts.items()}}

    bugs = {"mean-path-missing", "dgamma-not-xhat", "dbeta-not-dy"}
    assert set(ids(diagnose(BATCH_NORM, vjp))) == bugs


def test_another_eps_is_named_with_its_value() -> None:
    (diagnosis,) = diagnose(BATCH_NORM, lambda case: correct(replace(case, eps=1e-3)))
    assert diagnosis.id == "eps-ignored"
    assert diagnosis.explanation.endswith("0.001 where 0.5 and 0.001 where 0.32 was given")
    assert diagnosis.formula_got == "s = √(σ² + 1/1000)"


@pytest.mark.slow
def test_another_eps_in_the_backward_pass_is_named_with_its_value() -> None:
    def vjp(case: Case) -> Gradients:
        return {**correct(replace(case, eps=0.0125)), "y": correct(case)["y"]}

    (diagnosis,) = diagnose(BATCH_NORM, vjp)
    assert diagnosis.id == "eps-mismatch"
    assert diagnosis.explanation.endswith("0.0125 where 0.5 and 0.0125 where 0.32 was given")


def closed_form(case: Case, count: float, mean_path: float = 1, variance_path: float = 1) -> Gradients:
    """Batch norm's closed form, by hand, with another divisor or other weights of its paths."""
    gamma = case.layout.broadcastable(case.parameters["gamma"])
    reduced: dict[str, Any] = {"axis": case.layout.reduced_axes, "keepdims": True}
    inv_std = 1 / np.sqrt(case.x.var(**reduced) + case.eps)
    xhat, dxhat = (case.x - case.x.mean(**reduced)) * inv_std, case.dy * gamma
    mean, inner = dxhat.sum(**reduced) / count, (dxhat * xhat).sum(**reduced) / count
    return {**correct(case), "dx": inv_std * (dxhat - mean_path * mean - variance_path * xhat * inner)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "numbers"),
    [
        (lambda m: m + 3, "9 where m is 6 and 8 where m is 5"),
        (lambda m: 7, "7 where m is 6 and 7 where m is 5"),
        (lambda m: 2 * m, "12 where m is 6 and 10 where m is 5"),
    ],
    ids=["m + 3", "7", "2 m"],
)
def test_another_count_is_named_with_its_value(count: Callable[[int], int], numbers: str) -> None:
    (diagnosis,) = diagnose(BATCH_NORM, lambda case: closed_form(case, count(case.count)))
    assert diagnosis.id == "count-wrong"
    assert diagnosis.explanation.endswith(numbers)


@pytest.mark.slow
def test_a_factor_is_solved_for_and_told() -> None:
    (diagnosis,) = diagnose(BATCH_NORM, lambda case: {**correct(case), "dx": 1.1 * correct(case)["dx"]})
    assert diagnosis.id == "constant"
    assert diagnosis.formula_got == "dx̂ = 11·γ·dy/10"
    assert "?" not in diagnosis.explanation


def bent(case: Case) -> Gradients:
    return {**correct(case), "dx": correct(case)["dx"] + 0.01 * case.dy**3}


def weighted(case: Case) -> Gradients:
    return closed_form(case, case.count, 0.7, 1.4)


def squared(case: Case) -> Gradients:
    return {**correct(case), "y": correct(case)["y"] + case.x**2}


def lost(case: Case) -> Gradients:
    return {**correct(case), "dgamma": np.full_like(case.parameters["gamma"], np.nan)}


def turned(case: Case) -> Gradients:
    return {**correct(case), "dx": correct(case)["dx"].T}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vjp", "gradient", "phrases"),
    [
        (bent, "dx", ["no single edit of the formulas", " × dx̂/√(σ² + ε)", "with dy doubled", "at m = 6 in 4 groups"]),
        (weighted, "dx", ["1 × dx̂/√(σ² + ε) + 1.4 × ", " + 0.7 × dμ/m", "unchanged with dy doubled"]),
        (squared, "y", ["y is off by"]),
        (lost, "dgamma", ["dgamma is not finite"]),
        (turned, "dx", ["dx has shape (4, 6), expected (6, 4)"]),
    ],
    ids=["bent", "weighted", "squared", "lost", "turned"],
)
def test_what_no_edit_gives_is_described_and_not_named(vjp: Vjp, gradient: str, phrases: list[str]) -> None:
    (diagnosis,) = diagnose(BATCH_NORM, vjp)
    assert (diagnosis.id, diagnosis.gradient) == (UNKNOWN, gradient)
    assert all(phrase in diagnosis.explanation for phrase in phrases), diagnosis.explanation
    assert diagnosis.formula_expected
    assert reproduction(BATCH_NORM, (diagnosis,)) is None


def test_effects_are_found_beside_the_answer() -> None:
    layer = LAYERS["batch_norm_eval"]
    for name in ("mutates-input", "state-changed", "dtype-changed"):
        for dtype in ("float64", "float32"):
            assert ids(diagnose(layer, partial(BUGS[name].vjp, layer=layer), probes(layer, dtype=dtype))) == (name,)

    def both(case: Case) -> Gradients:
        answer = BUGS["mean-path-missing"].vjp(case)
        np.subtract(case.x, 1, out=case.x)
        return answer

    assert ids(diagnose(BATCH_NORM, both)) == ("mean-path-missing", "mutates-input")


def test_the_answer_may_be_part_of_what_is_known() -> None:
    for name in ("mean-path-missing", "ddof", "gamma-missing", "eps-outside-sqrt", "axis-wrong"):
        diagnoses = diagnose(BATCH_NORM, lambda case, name=name: {"dx": BUGS[name].vjp(case)["dx"]})  # type: ignore[misc]
        assert ids(diagnoses) == (name,)


def test_what_cannot_be_asked_is_not_diagnosed() -> None:
    def raises(case: Case) -> Gradients:
        raise RuntimeError("no")

    assert diagnose(BATCH_NORM, raises) == ()


def test_a_diagnosis_says_what_is_computed_and_what_should_be() -> None:
    (diagnosis,) = diagnose(BATCH_NORM, BUGS["mean-path-missing"].vjp)
    assert diagnosis == Diagnosis(
        "mean-path-missing",
        "dx",
        diagnosis.residual,
        "the path through the mean is missing",
        "dx = dx̂/√(σ² + ε) + 2·dσ²·(x − μ)/m",
        "dx = dx̂/√(σ² + ε) + 2·dσ²·(x − μ)/m + dμ/m",
        "Subtract the mean of dx̂ over the group: x reaches y through μ as well.",
        diagnosis.where,
        ("dx",),
    )
    assert "dx̂ = γ·dy" in diagnosis.where
    assert diagnosis.residual <= 1


@pytest.mark.parametrize(
    ("name", "bugs"),
    [
        ("batch_norm", ("mean-path-missing",)),
        ("batch_norm", ("eps-outside-in-forward-only",)),
        ("batch_norm", ("count-wrong",)),
        ("batch_norm", ("gamma-twice", "reduced-by-mean")),
        ("batch_norm", ("eps-outside-sqrt", "dgamma-from-x")),
        ("batch_norm_running", ("momentum-inverted",)),
        ("layer_norm", ("gamma-outside-sum",)),
        ("rms_norm", ("variance-path-doubled",)),
        ("batch_norm_jvp", ("second-order-std-constant",)),
    ],
    ids=str,
)
def test_what_is_diagnosed_answers_as_the_code_does_on_cases_that_it_never_saw(
    name: str, bugs: tuple[str, ...]
) -> None:
    layer = LAYERS[name]
    vjp = planted(layer, *bugs)
    again = reproduction(layer, diagnose(layer, vjp))
    assert again is not None
    layout = layer.layouts[0]
    for seed, eps, sizes in ((11, 0.02, (9, 4)), (12, 2.0, (4, 7)), (13, 0.3, (6, 6))):
        for case in probes(layer, layout, [sizes, sizes], eps=eps, seed=seed)[:2]:
            answer, reproduced = vjp(case), again(case)
            for returned, value in answer.items():
                np.testing.assert_allclose(reproduced[returned], value, rtol=1e-9, atol=1e-11, err_msg=returned)


def test_a_number_that_was_solved_for_is_reproduced_too() -> None:
    again = reproduction(BATCH_NORM, diagnose(BATCH_NORM, lambda case: closed_form(case, case.count + 3)))
    assert again is not None
    case = probes(BATCH_NORM, FLAT, [(11, 3)], seed=5)[0]
    np.testing.assert_allclose(again(case)["dx"], closed_form(case, 14)["dx"], rtol=1e-9)


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
    (("averaged",), "dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)"),
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
        assert (
            ids(
                diagnose(
                    BATCH_NORM,
                    edited(old, new),
                    probes(BATCH_NORM, FLAT, [shape, (shape[0] // 2, shape[1])], dtype=dtype),
                )
            )
            == expected
        )


FOREIGN = {
    "the root computed anew beside a wrong one": (
        "std, inv = np.sqrt(var * eps), 1 / np.sqrt(var * eps)",
        "dvar = 0.5 / np.sqrt(var + eps) * -(dxhat * c).sum(0) * inv**2; dc = dxhat * inv + 2 / m * c * dvar",
        {"operator"},
    ),
    "factors dropped in the expanded form": (
        "",
        "dx = inv * dxhat - inv * dxhat.mean(0) - (dxhat * c).mean(0)",
        {"factor-lost"},
    ),
    "an operator beside the sum, not within": (
        "",
        "dvar = -0.5 * (dxhat * c).sum(0) - inv**3; dc = dxhat * inv + 2 / m * c * dvar",
        {"operator"},
    ),
    "another count, a product of sizes": (
        "",
        "m = m * x.shape[1]; dx = inv / m * (m * dxhat - dxhat.sum(0) - xhat * (dxhat * xhat).sum(0))",
        {"count-wrong"},
    ),
    "a sum over the next axis, since one is lost": (
        "",
        "dxhat = gamma; dx = inv / m * (m * dxhat - dxhat.sum(0) - xhat * (dxhat * xhat).sum(0))",
        {"factor-lost"},
    ),
    "gamma misread in both passes": ("gamma = -gamma", "", {"exchanged"}),
    "y written at once": ("xhat_of_y = (gamma + c) / std; y = xhat_of_y + beta", "", {"operator"}),
    "a term that is next to nothing": ("", "dgamma = xhat.sum(0)", {"factor-lost"}),
}
"""What another forward or backward pass writes otherwise, and what that is called."""


@pytest.mark.slow
@pytest.mark.parametrize("slip", FOREIGN)
def test_a_slip_in_code_of_another_style_is_named_and_reproduced(slip: str) -> None:
    in_forward, in_backward, expected = FOREIGN[slip]

    def vjp(case: Case) -> Gradients:
        names: dict[str, Any] = {
            "np": np,
            "x": case.x,
            "dy": case.dy,
            "eps": case.eps,
            "m": case.count,
            **case.parameters,
        }
        forward = "mu = x.mean(0); c = x - mu; var = (c * c).mean(0); std = np.sqrt(var + eps); inv = 1 / std"
        backward = "dgamma = (dy * xhat).sum(0); dbeta = dy.sum(0); dxhat = dy * gamma"
        right = "dx = inv * (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0))"
        for line in (forward, in_forward, "xhat = c * inv", "" if "y =" in in_forward else "y = gamma * xhat + beta"):
            exec(line, names)
        for line in (backward, right, in_backward, "dx = dc - dc.mean(0)" if "dc =" in in_backward else ""):
            exec(line, names)
        return {name: names[name] for name in ("y", "dx", "dgamma", "dbeta")}

    diagnoses = diagnose(BATCH_NORM, vjp)
    assert {bug.id for bug in diagnoses} == expected, diagnoses
    again, case = reproduction(BATCH_NORM, diagnoses), probes(BATCH_NORM, shapes=[(9, 7)], seed=5)[0]
    assert again is not None
    answer = vjp(case)
    assert all(np.allclose(again(case)[name], answer[name], rtol=1e-9, atol=1e-9) for name in answer)
