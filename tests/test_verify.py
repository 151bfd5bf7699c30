"""The campaign: what it reports of right and wrong code, and that nothing but the seed decides it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_case

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.bugs.planting import bugs_of
from bncheck.campaign.one_case import Bench
from bncheck.campaign.run import verify
from bncheck.case import Case, Gradients, Vjp
from bncheck.formats import DTYPES
from bncheck.frameworks import Suspect
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.results import Report
from bncheck.tolerances.verdicts import Verdict, wrong_or_unstable

LAYER = LAYERS["batch_norm"]
PLANTED = bugs_of(LAYER, random_case())


def suspect(name: str) -> Vjp:
    """Code with a bug; right where a case has no parameter that the bug is about."""

    def vjp(case: Case) -> Gradients:
        room = BUGS[name].edits(LAYER, case.layout, tuple(case.parameters))
        return BUGS[name].vjp(case) if room else correct(case)

    return vjp


def campaign(**options: Any) -> Report:
    return verify((LAYER,), **{"cases": 40, "real_data": False, **options})


@pytest.mark.slow
def test_batch_norm_is_correct_and_most_cases_decide() -> None:
    report = verify((LAYER,), cases=200)
    (layer,) = report.layers
    assert report.verdict is Verdict.CORRECT
    assert report.counterexample is None
    assert layer.proof.proved
    assert layer.result.cases == 200 + 5 * len(DTYPES)
    assert layer.result.cases - layer.result.vacuous - layer.result.inconclusive > 80
    assert {"ball", "symbolic", "graph", "finite_difference", "complex_step"} <= set(layer.result.tallies)
    assert min(layer.result.revealed.values()) > 0
    assert min(layer.result.revealed[name] for name in PLANTED) > 50


SMALL = (
    "zero",
    "mean-path-missing",
    "variance-path-missing",
    "gamma-missing",
    "ddof",
    "eps-mismatch",
    "eps-outside-sqrt",
    "axis-wrong",
    "dgamma-not-xhat",
    "reduced-by-mean",
)


@pytest.mark.parametrize("name", SMALL)
def test_a_wrong_suspect_is_found_and_its_case_is_small(name: str) -> None:
    report = campaign(cases=20, suspects={"mine": suspect(name)})
    found = report.counterexample
    assert report.verdict is Verdict.WRONG
    assert found is not None
    assert found.subject == "mine"
    assert found.arrays["x"].size <= 6
    assert found.comparison.error > found.comparison.tolerance
    assert report.layers[0].result.tallies["symbolic"].verdict is Verdict.CORRECT


def test_a_counterexample_can_be_run_again_by_its_name() -> None:
    found = campaign(suspects={"mine": BUGS["ddof"].vjp}).counterexample
    assert found is not None
    again = verify((LAYER,), only=Recipe.parse(found.case), suspects={"mine": BUGS["ddof"].vjp}).counterexample
    assert again is not None
    assert again.comparison == found.comparison


def test_a_one_pass_variance_is_unstable_not_wrong() -> None:
    def one_pass(case: Case) -> Gradients:
        axes = case.layout.reduced_axes
        with np.errstate(all="ignore"):
            mean = case.x.mean(axis=axes, keepdims=True)
            var = np.maximum((case.x * case.x).mean(axis=axes, keepdims=True) - mean * mean, 0)
            inv_std = 1 / np.sqrt(var + case.eps)
            xhat = (case.x - mean) * inv_std
            dxhat = case.dy * case.broadcast_parameters().get("gamma", 1)
            inner = dxhat - dxhat.mean(axis=axes, keepdims=True)
            return {"dx": inv_std * (inner - xhat * (dxhat * xhat).mean(axis=axes, keepdims=True))}

    for dtype in ("float32", "float64"):
        case = random_case((32, 4), dtype, offset=1000)
        result = Bench(LAYER, (Suspect("mine", one_pass),)).examine(case)
        assert result.tallies["mine"].verdict is Verdict.UNSTABLE
        tame = random_case((32, 4), dtype)
        assert Bench(LAYER, (Suspect("mine", one_pass),)).examine(tame).failures == ()
    wrong = BUGS["eps-mismatch"].vjp
    assert wrong_or_unstable(wrong, LAYER, random_case((32, 4), eps=0.1), "dx") is Verdict.WRONG


def test_a_suspect_that_raises_has_crashed_and_the_campaign_goes_on() -> None:
    def raises(case: Case) -> Gradients:
        raise ZeroDivisionError("no luck")

    report = campaign(suspects={"mine": raises})
    assert report.verdict is Verdict.CRASHED
    assert report.counterexample is not None
    assert report.counterexample.detail == "ZeroDivisionError: no luck"
    assert report.layers[0].result.tallies["symbolic"].cases == 40


@pytest.mark.parametrize("answer", [None, {}, {"dy": 1}, {"dx": "nothing"}])
def test_an_answer_that_is_no_gradient_has_crashed(answer: Any) -> None:
    result = Bench(LAYER, (Suspect("mine", lambda case: answer),)).examine(random_case())
    assert result.tallies["mine"].verdict is Verdict.CRASHED
    assert result.tallies["symbolic"].verdict is Verdict.CORRECT


def test_a_wrong_shape_is_wrong() -> None:
    report = campaign(suspects={"mine": lambda case: {"dx": correct(case)["dx"][0]}})
    assert report.verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ("NC:N:C/1x3/float64/1e-05/ordinary/random/affine/0", "vacuous"),  # m = 1
        ("NC:N:C/8x3/float64/1e-05/ordinary/constant/affine/0", "vacuous"),  # Σ of a constant dy
        ("NC:N:C/32x1/float16/1e-12/constant-group/random/affine/0", "inconclusive"),  # 1/σ = 10⁶ > 65504
    ],
)
def test_cases_that_could_not_have_failed_are_told_apart(recipe: str, field: str) -> None:
    result = Bench(LAYER).examine(Recipe.parse(recipe).build(LAYER))
    assert getattr(result, field) == 1
    assert result.failures == ()


def test_gamma_one_is_vacuous_for_a_missing_gamma() -> None:
    case = random_case()
    ones = Case(case.layout, case.x, case.dy, {"gamma": np.ones(4), "beta": np.zeros(4)}, case.eps)
    result = Bench(LAYER).examine(ones)
    assert result.vacuous == 1
    assert result.revealed["gamma-missing"] == 0
    assert Bench(LAYER).examine(case).vacuous == 0


@pytest.mark.slow
def test_only_the_seed_decides() -> None:
    assert campaign(seed=3) == campaign(seed=3)
    assert campaign(seed=3) != campaign(seed=4)


def test_neither_what_is_imported_nor_where_it_lies_decides(tmp_path: Path) -> None:
    """Hypothesis reads the numbers in the source of what is imported, and mixes them into what it draws."""
    (tmp_path / "laden.py").write_text(f"NUMBERS = {list(range(40, 400))}\nTEXTS = {[str(k) for k in range(99)]}\n")
    code = """
import sys
{}
from bncheck import LAYERS, verify
from bncheck.report import json
print(json.verification(verify("rms_norm", cases=40, seed=5, dtypes=["float64"], real_data=False)))
"""
    plain, laden = (
        subprocess.run(
            [sys.executable, "-c", code.format(extra)], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for extra in ("", "import laden")
    )
    assert plain == laden


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter() -> None:
    assert campaign(seed=3, jobs=2) == campaign(seed=3, jobs=1)


def test_a_broken_definition_is_not_proved(batch_norm: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    from bncheck.oracles.symbolic import published

    misprint = {"batch_norm": lambda v, *sums: {**published.batch_norm(v, *sums), "dbeta": sums[0](v.dy) / 2}}
    monkeypatch.setattr("bncheck.oracles.symbolic.proof.PUBLISHED", misprint)
    report = campaign(cases=5)
    assert report.verdict is Verdict.WRONG
    assert report.layers[0].proof.failure is not None
    assert report.layers[0].proof.failure.gradient == "dbeta"
