"""bfloat16 goes all the way, and what is accumulated in float32 is held to one rounding."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import random_case

from bncheck.campaign.run import verify
from bncheck.case import Case, Gradients
from bncheck.examination.one_case import check
from bncheck.formats import DTYPES, is_float
from bncheck.frameworks import SUSPECTS, Suspect
from bncheck.layers import LAYERS
from bncheck.oracles import ball
from bncheck.report import json as report_json
from bncheck.report import text
from bncheck.tolerances.bounds import tolerance
from bncheck.tolerances.verdicts import Verdict, compare

BFLOAT16 = DTYPES["bfloat16"]
HALF = ("float16", "bfloat16")
BATCH_NORM = LAYERS["batch_norm"]

TORCH = [s for s in SUSPECTS if s.name.startswith("torch.nn.") and s.layer and s.layer.is_plain]


def closed_form(case: Case, total: Any) -> Gradients:
    """Written by hand; `total` adds up the samples."""
    x, dy, gamma, m = case.x, case.dy, case.parameters["gamma"], case.count
    eps = np.asarray(case.eps, case.dtype)
    centred = x - total(x) / m
    inv_std = 1 / np.sqrt(total(centred * centred) / m + eps)
    xhat = centred * inv_std
    dgamma, dbeta = total(dy * xhat), total(dy)
    return {"dx": gamma * inv_std * (dy - dbeta / m - xhat * dgamma / m), "dgamma": dgamma, "dbeta": dbeta}


def careful(case: Case) -> Gradients:
    """In float32, and rounded to the half type at the end."""
    return {n: g.astype(case.dtype) for n, g in closed_form(case.widened(), lambda a: a.sum(axis=0)).items()}


def careless(case: Case) -> Gradients:
    """Every step in the half type."""
    found = closed_form(case, lambda a: np.add.accumulate(a, axis=0)[-1])
    assert all(gradient.dtype == case.dtype for gradient in found.values())
    return found


@pytest.mark.parametrize("dtype", HALF)
def test_who_claims_float32_and_accumulates_in_half_precision_is_caught(dtype: str) -> None:
    for seed in range(50):
        case = random_case((64, 8), dtype, seed, offset=0.5)
        names = case.gradient_names
        assert check(careful, case, rounds_once=names).verdict is Verdict.CORRECT
        caught = check(careless, case, rounds_once=names)
        assert {str(finding.conforms) for finding in caught.gradients.values()} == {"unstable"}
        assert not check(careless, case).verdict.failed  # who claims nothing is allowed that much


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("suspect", TORCH, ids=lambda suspect: suspect.name)
def test_torch_rounds_once_exactly_where_it_is_said_to(suspect: Suspect, dtype: str) -> None:
    """Its batch and group norm keep mean and 1/σ in half precision between the passes; its layer norm sums in it."""
    pytest.importorskip("torch")
    assert suspect.layer is not None
    layer, rng = suspect.layer, np.random.default_rng(0)
    layout = layer.layouts[0]
    caught: set[str] = set()
    returned: set[str] = set()
    for _ in range(10):
        shape = tuple(int(n) for n in rng.integers(6, 9, size=len(layout.axes)))
        x, dy = rng.normal(size=(2, *shape)).astype(dtype)
        parameters = {n: rng.normal(size=layout.parameter_shape(shape)).astype(dtype) for n in layer.parameters}
        case = Case(layout, x + np.ones((), x.dtype), dy, parameters)
        got, truth = suspect.vjp(case), ball.vjp(layer, case)
        allowed = {n: r.radius for n, r in tolerance(layer, case, truth).items()}
        returned |= set(got)
        caught |= {n for n, c in compare(got, truth, allowed).items() if c.verdict is Verdict.WRONG}
        allowed = {n: r.radius for n, r in tolerance(layer, case).items()}
        assert not any(c.verdict is Verdict.WRONG for c in compare(got, truth, allowed).values())
    assert returned - caught == set(suspect.rounds_once)


def test_a_wrong_gradient_in_bfloat16_is_caught() -> None:
    def without_mean_path(case: Case) -> Gradients:
        wide = case.widened()
        inv_std = 1 / np.sqrt(wide.x.var(axis=0) + case.eps)
        xhat = (wide.x - wide.x.mean(axis=0)) * inv_std
        dxhat = wide.dy * wide.parameters["gamma"]
        return {"dx": (inv_std * (dxhat - xhat * (dxhat * xhat).mean(axis=0))).astype(case.dtype)}

    for seed in range(50):
        found = check(without_mean_path, random_case((64, 8), "bfloat16", seed), rounds_once=("dx",))
        assert found.verdict is Verdict.WRONG


def test_finite_differences_of_a_bfloat16_forward_agree_with_its_gradient() -> None:
    def forward(x: Any, parameters: Any) -> Any:
        x, wide = x.astype(np.float32), {name: value.astype(np.float32) for name, value in parameters.items()}
        xhat = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
        return (wide["gamma"] * xhat + wide["beta"]).astype(BFLOAT16)

    case = random_case((16, 4), "bfloat16")
    found = check(careful, case, forward=forward, rounds_once=("y", *case.gradient_names))
    assert found.verdict is Verdict.CORRECT
    assert {name for name, finding in found.gradients.items() if finding.consistent} == {"dx", "dgamma", "dbeta"}
    assert found.gradients["dgamma"].consistent is Verdict.CORRECT


def test_a_bfloat16_answer_counts_as_floats() -> None:
    assert is_float(BFLOAT16)
    assert not is_float(np.dtype("V2"))
    assert not is_float(np.dtype(complex))
    assert not is_float(np.dtype(int))


def zero(case: Case) -> Gradients:
    """A wrong suspect that other processes can import."""
    return {"dx": np.zeros_like(case.x)}


@pytest.mark.slow
def test_a_campaign_in_bfloat16_reports_the_smallest_case_digit_by_digit() -> None:
    def run(jobs: int) -> Any:
        return verify(
            (BATCH_NORM,), cases=10, dtypes=("bfloat16",), real_data=False, suspects={"zero": zero}, jobs=jobs
        )

    report = run(1)
    found = report.counterexample
    assert found is not None
    assert found.arrays["x"].dtype == BFLOAT16
    assert "/bfloat16/" in found.case
    document = report_json.verification(report)
    arrays = json.loads(document)["counterexample"]["arrays"]
    np.testing.assert_array_equal(np.array(arrays["x"]), found.arrays["x"].astype(np.float64))
    words = text.verification(report)
    assert "rounding in bfloat16" in words
    assert (words, document) == tuple(write(run(2)) for write in (text.verification, report_json.verification))


def test_small_arrays_are_written_so_that_they_can_be_read_back() -> None:
    values = np.random.default_rng(0).normal(size=16).astype(BFLOAT16)
    written = text._written(values)
    np.testing.assert_array_equal(np.array(json.loads(written)).astype(BFLOAT16), values)


def test_numbers_reach_torch_and_come_back_bit_by_bit() -> None:
    pytest.importorskip("torch")
    from bncheck.frameworks.torch import _array, _tensor

    every = np.arange(2**16, dtype=np.uint16).view(BFLOAT16).reshape(256, 256)
    tensor = _tensor(every)
    assert str(tensor.dtype) == "torch.bfloat16"
    assert float(tensor[0x3F, 0x80]) == 1.0
    np.testing.assert_array_equal(_array(tensor).view(np.uint16), every.view(np.uint16))
    assert _array(tensor.T)[0x80, 0x3F] == 1
