"""Bugs that show under a condition only are found, and the condition is told; what is right stays right."""

from pathlib import Path

import numpy as np
import pytest
from conditional import PLANTED, RIGHT, RIGHT_TOO, Planted
from conftest import EVERY

from bncheck.bugs.catalogue.bug import correct
from bncheck.case import Case, Gradients
from bncheck.examination.conditions import Effort, conditions
from bncheck.examination.constants import Constants
from bncheck.examination.examine import examine
from bncheck.examination.files import check_target
from bncheck.examination.subjects import Given
from bncheck.layers import LAYERS
from bncheck.results import TargetReport
from bncheck.tolerances.verdicts import Verdict

BATCH_NORM = LAYERS["batch_norm"]
NAMES = {
    "pair": "batch_norm",
    "layer": "layer_norm",
    "images": "batch_norm_2d",
    "class": "batch_norm_class",
    "layer class": "layer_norm_class",
    "rms class": "rms_norm_class",
    "group class": "group_norm_class",
}


def reported(folder: Path, source: str, name: str = "mine", *, thorough: bool = False) -> TargetReport:
    file = folder / f"{name}.py"
    file.write_text(source)
    (report,) = check_target(str(file), thorough=thorough)
    return report


def planted(written: str) -> Planted:
    return next(one for one in PLANTED if written in one.written)


TOLD = {
    "len(x) > 37": "Only where N > 37.",
    "x.shape[0] < x.shape[1]": "Only where N < C.",
    "if eps > 0.9": "Only where eps is above 0.91.",
    "if not gamma.any()": "Only with γ = 0.",
    "gamma.max() < 0": "Only with γ negative throughout.",
    "not x.any()": "Only with x = 0.",
    "(dy == 1).all()": "Only with dy = 1.",
    "np.isfortran(x)": "Only with x in Fortran order, with x and dy in Fortran order.",
    "if len(x) > 32: x -= mean": "Only where N > 32.",
    "if self.calls == 2": "Only where another forward came before.",
    "if self.calls == 3": "Its running mean does not follow its own rule at the third batch",
    "if len(x) == 1: mean": "Only where a batch comes in evaluation.",
}


@pytest.mark.slow
@pytest.mark.parametrize("written", TOLD)
def test_a_bug_that_shows_under_a_condition_is_told_with_it(written: str, tmp_path: Path) -> None:
    report = reported(tmp_path, planted(written).source())
    assert report.verdict is Verdict.WRONG
    assert TOLD[written] in report.detail


def test_the_term_is_told_beside_the_condition(tmp_path: Path) -> None:
    report = reported(tmp_path, planted("x.shape[1] == 1").source())
    assert report.detail.startswith("Only where C = 1.")
    (bug,) = reported(tmp_path, planted("x.shape[-1] > 1024").source(), "layer_norm").diagnosis
    assert bug.id == "statistics-constant"
    assert bug.explanation.endswith("only where D > 1024")


@pytest.mark.parametrize("name", ["welford", "cacheless", "refuses a single sample", "refuses large batches"])
def test_what_is_right_in_its_own_way_stays_right(name: str, tmp_path: Path) -> None:
    report = reported(tmp_path, RIGHT_TOO[name])
    assert report.verdict in (Verdict.CORRECT, Verdict.INCOMPLETE)
    assert not report.detail
    assert set(report.not_asked) <= {TRAINING_ONLY}
    assert len(report.asked["conditions"]) > 80


def test_gradients_that_add_up_are_a_habit(tmp_path: Path) -> None:
    report = reported(tmp_path, RIGHT_TOO["adds up its gradients"])
    assert not report.verdict.failed
    assert set(report.not_asked) <= {TRAINING_ONLY}
    assert report.observations["accumulates"] == ["dbeta", "dgamma"]


def test_what_no_time_was_left_for_is_told(tmp_path: Path) -> None:
    given = Given(correct, BATCH_NORM.layouts)
    report = examine(given, BATCH_NORM, effort=Effort(seconds=0))
    assert report.verdict is Verdict.INCOMPLETE
    assert "no time was left" in report.not_asked["conditions"]


@pytest.mark.slow
def test_a_function_of_this_process_is_asked_under_conditions_too() -> None:
    def wrong(case: Case) -> Gradients:
        gradients = dict(correct(case))
        if case.x.shape[0] > 64:
            gradients["dx"] = gradients["dx"] * np.array(1.5)
        return gradients

    report = examine(Given(wrong, BATCH_NORM.layouts[:1]), BATCH_NORM)
    assert (report.verdict, report.detail) == (Verdict.WRONG, "Only where N > 64.")


def test_cases_that_are_drawn_are_asked_beside_the_others(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(RIGHT["pair"])
    (few,), (more,) = check_target(str(file)), check_target(str(file), cases=10)
    assert len(more.asked["conditions"]) == len(few.asked["conditions"]) + 10
    assert more.reproduce.endswith("--cases 10")


def test_each_condition_differs_from_the_others() -> None:
    given = Given(correct, BATCH_NORM.layouts)
    layout = next(one for one in BATCH_NORM.layouts if one.axes == "NCHW")
    asked = list(conditions(given, BATCH_NORM, layout, "float64", 0, Effort(), Constants((37,))))
    names = [condition.name for condition in asked]
    assert len(names) == len(set(names))
    assert {"N = 38", "H = W", "m = 1", "γ = 0", "dy = 0", "the scale of x = 1e+06", "eps = 1e-12"} <= set(names)


TRAINING_ONLY = "gradients in evaluation"
"""What is not asked of a class whose backward is that of training in both modes."""

DEFAULT, THOROUGH = 0.9, 0.98


@pytest.mark.slow
@pytest.mark.usefixtures("undiagnosed")
@pytest.mark.parametrize(("thorough", "share", "each"), [(False, DEFAULT, 15), (True, THOROUGH, 220)])
def test_most_bugs_that_show_under_a_condition_are_caught(
    thorough: bool, share: float, each: int, tmp_path: Path
) -> None:
    """Some of them, for time; all with BNCHECK_EVERY=1 in the environment."""
    missed, asked = list[str](), list(enumerate(PLANTED))[:: 1 if EVERY else each]
    for k, one in asked:
        report = reported(tmp_path, one.source(), f"{NAMES[one.code]}_{k}", thorough=thorough)
        missed += [] if report.verdict.failed else [one.name]
    assert len(PLANTED) >= 60
    assert len(missed) <= (1 - share) * len(asked), missed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "thorough"),
    [*((n, False) for n in (*RIGHT, *RIGHT_TOO)), *((n, True) for n in (*RIGHT, *RIGHT_TOO)[: None if EVERY else 1])],
)
def test_no_right_implementation_raises_an_alarm(name: str, thorough: bool, tmp_path: Path) -> None:
    source = {**RIGHT, **RIGHT_TOO}[name]
    report = reported(tmp_path, source, NAMES.get(name, "mine"), thorough=thorough)
    assert (report.detail, report.diagnosis) == ("", ())
    assert report.verdict in (Verdict.CORRECT, Verdict.INCOMPLETE)
    assert set(report.not_asked) <= {TRAINING_ONLY}


AFFINE = """
import numpy as np

class BatchNorm:
    def __init__(self, features, eps=1e-5, affine=True):
        self.affine, self.eps = affine, eps
        if affine:
            self.gamma, self.beta = np.ones(features), np.zeros(features)

    def forward(self, x):
        self.std = np.sqrt(x.var(0) + self.eps)
        self.xhat = (x - x.mean(0)) / self.std
        return self.gamma * self.xhat + self.beta if self.affine else self.xhat

    def backward(self, dy):
        if self.affine:
            self.dgamma, self.dbeta = (dy * self.xhat).sum(0), dy.sum(0)
        g = dy * self.gamma if self.affine else dy
        return (g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)) / self.std
"""


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("", "", ""),
        ("dy * self.gamma if self.affine else dy", "dy * self.gamma if self.affine else 2 * dy", "Only with affine"),
        ("dy * self.gamma if self.affine else dy", "dy * self.gamma", "with affine=False"),
    ],
    ids=["right", "wrong", "raises"],
)
def test_a_layer_is_asked_without_its_parameters_too(right: str, wrong: str, told: str, tmp_path: Path) -> None:
    report = reported(tmp_path, AFFINE.replace(right, wrong), "BatchNorm")
    assert report.verdict.failed is bool(told)
    assert told in report.detail
    if not told:
        assert "affine=False" in report.asked["conditions"]


TWICE = """
import torch

class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, dy, x, weight, eps):
        ctx.save_for_backward(dy, x, weight)
        ctx.eps = eps
        return once(dy, x, weight, eps)

    @staticmethod
    def backward(ctx, ddx, ddweight):
        with torch.enable_grad():
            given = [one.detach().requires_grad_() for one in ctx.saved_tensors]
            answers = once(*given, ctx.eps)
        return (*torch.autograd.grad(answers, given, (ddx, ddweight)), None)

def once(dy, x, weight, eps):
    r = (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
    g = dy * weight
    return r * g - x * r**3 * (g * x).mean(-1, keepdim=True), (dy * x * r).sum(tuple(range(dy.ndim - 1)))

class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps=1e-5):
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weight

    @staticmethod
    def backward(ctx, dy):
        return (*Backward.apply(dy, *ctx.saved_tensors, ctx.eps), None)
"""


@pytest.mark.parametrize(
    ("right", "wrong"), [("", ""), ("(ddx, ddweight)), None)", "(ddx, 2 * ddweight)), None)")], ids=["right", "wrong"]
)
def test_a_double_backward_that_somebody_wrote_is_asked(right: str, wrong: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    report = reported(tmp_path, TWICE.replace(right, wrong), "RMSNorm")
    assert report.verdict is (Verdict.WRONG if wrong else Verdict.CORRECT), str(report)
    assert report.detail == ("Only in a double backward." if wrong else "")
    assert wrong or "in double backward" in report.asked["conditions"]
