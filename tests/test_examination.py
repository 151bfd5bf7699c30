"""The examination finds correct code correct, names the bug in wrong code, and tells the two questions apart."""

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_case
from test_targets import KNOWN, needs

from bncheck import Check, Examination, TargetReport, assert_gradients, check
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.case import Case, Gradients, Layout
from bncheck.errors import InvalidInput
from bncheck.examination.examine import examine
from bncheck.examination.files import check_target, examine_all
from bncheck.examination.running_statistics import EVALUATED
from bncheck.examination.subjects import Given
from bncheck.inputs.recipes import Recipe
from bncheck.inputs.strategies import cases
from bncheck.layers import LAYERS
from bncheck.tolerances.verdicts import Verdict

ZOO = Path(__file__).parent / "targets"
BATCH_NORM = LAYERS["batch_norm"]
FILES = sorted({name.partition(":")[0] for name in KNOWN})


def ids(report: TargetReport) -> list[str]:
    return [bug.id for bug in report.diagnosis]


def changed(tmp_path: Path, source: str, *changes: tuple[str, str], only: str = "") -> TargetReport:
    """The report on a target of the zoo, mended for the worse; `only` is which, where a file has several."""
    text = (ZOO / source).read_text()
    for right, wrong in changes:
        assert right in text
        text = text.replace(right, wrong)
    (tmp_path / "mine.py").write_text(text)
    (report,) = check_target(f"{tmp_path / 'mine.py'}{only}")
    return report


SLOW = "jax_written.py"  # JAX compiles every shape anew


@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.slow] if f == SLOW else []) for f in FILES])
def test_no_correct_implementation_raises_an_alarm(file: str) -> None:
    needs(file)
    for report in check_target(str(ZOO / file)):
        assert report.verdict is Verdict.CORRECT
        assert (report.conforms, report.consistent) == (Verdict.CORRECT, Verdict.CORRECT)
        assert {"y", "dx"} <= report.gradients.keys()
        assert {finding.verdict for finding in report.gradients.values()} == {Verdict.CORRECT}
        assert report.diagnosis == ()
        assert report.detail == ""


def test_the_textbook_class_is_recognised_correct_and_its_conventions_are_told() -> None:
    (report,) = check_target(str(ZOO / "textbook.py"))
    assert report.recognised_as.startswith("a class with forward and backward")
    assert report.verdict is Verdict.CORRECT
    assert {"new_running_mean", "new_running_var", "y" + EVALUATED} <= report.gradients.keys()
    told = str(report)
    for words in ("eps 1e-06", "per activation", "0.1 of the new batch", "momentum", "evaluation uses"):
        assert words in " ".join(told.split())


def test_torch_batch_norm_is_correct_on_images_of_the_usual_size(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = str(ZOO / "torch_module.py")
    (usual,) = check_target(file)
    assert usual.verdict is Verdict.CORRECT
    recipe = Recipe(Layout("NCHW", "NHW", "C"), (32, 3, 64, 64), "float64", 1e-5)
    (large,) = check_target(file, case=recipe)
    assert large.verdict is Verdict.CORRECT
    assert large.gradients["dx"].case == str(recipe)
    assert f"--case {recipe}" in large.reproduce


EDITS: dict[str, tuple[tuple[str, str], set[str]]] = {
    "mean-path-missing": (("(g - g.mean(0) - xhat", "(g - xhat"), {"dx"}),
    "variance-path-missing": ((" - xhat * (g * xhat).mean(0)", ""), {"dx"}),
    "statistics-constant": (("(g - g.mean(0) - xhat * (g * xhat).mean(0))", "g"), {"dx"}),
    "path-sign": (("(g - g.mean(0) - xhat", "(g + g.mean(0) + xhat"), {"dx"}),
    "gamma-missing": (("g = dy * gamma", "g = dy"), {"dx"}),
    "gamma-twice": (("g = dy * gamma", "g = dy * gamma**2"), {"dx"}),
    "dgamma-not-xhat": (("(dy * xhat).sum(0)", "(dy * (gamma * xhat)).sum(0)"), {"dgamma"}),
    "eps-outside-in-forward-only": (("np.sqrt(x.var(0) + eps)", "np.sqrt(x.var(0)) + eps"), {"y", "dx", "dgamma"}),
    "ddof-in-forward-only": (("x.var(0)", "x.var(0, ddof=1)"), {"y", "dx", "dgamma"}),
    "not-reduced": (("(dy * xhat).sum(0), dy.sum(0)", "dy * xhat, dy"), {"dgamma", "dbeta"}),
}
UNNAMED = {
    "dgamma-not-xhat": {"exchanged"},  # γ·x̂ is neither y nor x
}


@pytest.mark.parametrize("bug", EDITS)
def test_a_bug_is_found_where_it_is_and_called_by_its_name(bug: str, tmp_path: Path) -> None:
    change, failing = EDITS[bug]
    report = changed(tmp_path, "honest.py", change)
    assert report.verdict is Verdict.WRONG
    assert {name for name, finding in report.gradients.items() if finding.verdict.failed} == failing
    assert set(ids(report)) <= UNNAMED.get(bug, {bug})
    assert ids(report)
    assert report.diagnosis[0].fix
    for name in failing:
        worst = report.gradients[name].worst
        assert not worst.error <= worst.tolerance


def test_a_forward_that_is_not_the_layer_may_have_its_own_gradient() -> None:
    (report,) = check_target(str(ZOO / "eps_outside.py"))
    assert (report.verdict, report.consistent, report.conforms) == (Verdict.WRONG, Verdict.CORRECT, Verdict.WRONG)
    told = " ".join(str(report).split())
    assert "its backward is the gradient of its own forward, but its forward is not the layer" in told


ANNOTATED = """
import torch

class LayerNorm(torch.nn.Module):
    def __init__(self, features, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.a_2 = torch.nn.Parameter(torch.ones(features))
        self.b_2 = torch.nn.Parameter(torch.zeros(features))

    def forward(self, x):
        mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        return self.a_2 * (x - mean) / (std + self.eps) + self.b_2
"""


@pytest.mark.slow
def test_what_a_known_book_does_otherwise_is_a_convention(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "annotated.py").write_text(ANNOTATED)
    (report,) = check_target(str(tmp_path / "annotated.py"))
    assert (report.verdict, report.consistent, report.conforms) == (Verdict.CORRECT, Verdict.CORRECT, Verdict.WRONG)
    assert report.observations["as_in"] == "The Annotated Transformer"
    assert "that of The Annotated Transformer" in " ".join(str(report).split())
    (tmp_path / "half.py").write_text(
        ANNOTATED.replace("keepdim=True)\n        return", "keepdim=True, correction=0)\n        return")
    )
    (report,) = check_target(str(tmp_path / "half.py"))
    assert (report.verdict, ids(report)) == (Verdict.WRONG, ["eps-outside-sqrt"])  # whose layer would that be?


@pytest.mark.slow
def test_a_backward_that_drops_eps_is_not_the_gradient_of_its_own_forward(tmp_path: Path) -> None:
    report = changed(tmp_path, "honest.py", ("/ std, (dy", "/ np.sqrt(std**2 - 1e-5), (dy"))
    assert (report.gradients["y"].conforms, report.gradients["dx"].consistent) == (Verdict.CORRECT, Verdict.WRONG)


def test_a_one_pass_variance_is_unstable_and_called_so(tmp_path: Path) -> None:
    report = changed(tmp_path, "honest.py", ("x.var(0)", "((x * x).mean(0) - x.mean(0) ** 2)"))
    assert report.verdict is Verdict.UNSTABLE
    assert ids(report) == ["one-pass-variance"]
    assert report.gradients["y"].dtype == "float32"
    assert report.gradients["y"].worst.relative_error > 0.01
    assert report.consistent is Verdict.CORRECT


STEP = "self.momentum * self.running_{0} + (1 - self.momentum) * {1}"
INVERTED = "(1 - self.momentum) * self.running_{0} + self.momentum * {1}"
STEPS = [(STEP.format(*both), INVERTED.format(*both)) for both in (("mean", "mu"), ("var", "var"))]
MODES: dict[str, tuple[list[tuple[str, str]], set[str]]] = {
    "momentum-inverted": (STEPS, set()),  # every step by itself is one that some convention makes
    "running-not-updated": (
        [(right, right.split(" * ")[1].split(" + ")[0]) for right, _ in STEPS],
        {"new_running_mean", "new_running_var"},
    ),
    "eval-uses-batch-statistics": (
        [("(x - self.running_mean) / np.sqrt(self.running_var", "(x - x.mean(0)) / np.sqrt(x.var(0)")],
        {"y" + EVALUATED},
    ),
}


@pytest.mark.parametrize("bug", MODES)
def test_the_other_modes_are_held_against_their_definitions(bug: str, tmp_path: Path) -> None:
    changes, failing = MODES[bug]
    report = changed(tmp_path, "textbook.py", *changes)
    assert report.verdict is Verdict.WRONG
    assert ids(report) == [bug]
    assert {name for name, finding in report.gradients.items() if finding.verdict.failed} == failing


STEP_OF_MEAN = STEP.format("mean", "mu")
LATER = "self.momentum * self.running_mean + (1 - self.momentum) * mu"
NO_AVERAGE = {
    "momentum added": LATER.replace("self.momentum *", "self.momentum +", 1),
    "the old forgotten": LATER.partition(" + ")[2],
    "the batch forgotten": LATER.partition(" + ")[0],
    "weights that are not one": LATER.replace("1 -", "1 +"),
    "a negative weight": LATER.replace("1 -", "0 -"),
    "another weight than the variance's": INVERTED.format("mean", "mu"),
    "divided by what starts at zero": LATER.replace("self.momentum *", "self.momentum /", 1),
    "a single number": f"np.mean({LATER})",
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", NO_AVERAGE)
def test_a_running_mean_that_is_no_average_is_wrong(rule: str, tmp_path: Path) -> None:
    report = changed(tmp_path, "textbook.py", (STEP_OF_MEAN, NO_AVERAGE[rule]))
    assert report.verdict is Verdict.WRONG
    failing = {name for name, finding in report.gradients.items() if finding.verdict.failed}
    of_state = {"new_running_var"} if "variance's" in rule else {"new_running_mean"}  # which, nobody can tell
    assert of_state <= failing
    assert report.gradients["dx"].verdict is Verdict.CORRECT


@pytest.mark.parametrize("momentum", ["2 / 3", "0.123456", "0.999"])
def test_any_weight_of_an_average_is_a_convention(momentum: str, tmp_path: Path) -> None:
    report = changed(tmp_path, "textbook.py", ("momentum=0.9", f"momentum={momentum}"))
    assert report.verdict is Verdict.CORRECT
    assert report.observations["new_weight"] == pytest.approx(1 - eval(momentum), rel=1e-12)


def test_a_cumulative_average_is_a_convention(tmp_path: Path) -> None:
    steps = [
        (STEP.format(name, of_batch), f"self.running_{name} + ({of_batch} - self.running_{name}) / self.t")
        for name, of_batch in (("mean", "mu"), ("var", "var"))
    ]
    started = ("self.momentum = momentum", "self.momentum = momentum\n        self.t = 0")
    counted = ("        if train_flg:", "        self.t += train_flg\n        if train_flg:")
    assert changed(tmp_path, "textbook.py", *steps, started, counted).verdict is Verdict.CORRECT


def test_a_momentum_by_default_that_is_no_weight_is_wrong(tmp_path: Path) -> None:
    for told, verdict in (("1.9", Verdict.WRONG), ("0.7", Verdict.CORRECT)):
        change = ('bn_param.get("momentum", 0.9)', f'bn_param.get("momentum", {told})')
        report = changed(tmp_path, "course.py", change, only=":batchnorm_forward+batchnorm_backward")
        assert report.verdict is verdict


ANSWER = "        return self.weight"
FAILING_EVALUATIONS = {
    "raise KeyError('no')": (Verdict.CRASHED, "In evaluation mode it raised KeyError"),
    "return None": (Verdict.WRONG, "In evaluation mode it returned y as NoneType"),
    "return x[0]": (Verdict.WRONG, ""),
}


@pytest.mark.parametrize("failing", FAILING_EVALUATIONS)
def test_an_evaluation_that_fails_is_a_finding(failing: str, tmp_path: Path) -> None:
    verdict, words = FAILING_EVALUATIONS[failing]
    wrong = f"        if not self.training:\n            {failing}\n{ANSWER}"
    report = changed(tmp_path, "switchable.py", (ANSWER, wrong))
    assert report.verdict is verdict
    assert words in report.detail


def test_evaluation_is_asked_for_in_the_words_of_the_code(tmp_path: Path) -> None:
    only = ":batchnorm_forward+batchnorm_backward"
    report = changed(tmp_path, "course.py", ('mode == "test"', 'mode == "eval"'), only=only)
    assert report.verdict is Verdict.CORRECT
    assert report.observations["evaluation"] == "running statistics"
    report = changed(tmp_path, "course.py", ('mode == "test"', 'mode != "test"'), only=only)
    assert report.verdict is Verdict.CRASHED


def test_an_evaluation_that_learns_is_wrong(tmp_path: Path) -> None:
    learning = "mean, var = self.running_mean, self.running_var"
    report = changed(tmp_path, "switchable.py", (learning, f"{learning}; self.running_mean = self.running_mean + 1.0"))
    assert report.verdict is Verdict.WRONG
    assert "state-changed" in ids(report)


def test_a_running_variance_that_starts_below_zero_is_wrong(tmp_path: Path) -> None:
    report = changed(tmp_path, "switchable.py", ("self.running_var = np.ones", "self.running_var = -np.ones"))
    assert report.verdict is Verdict.WRONG
    assert "below zero" in report.detail


@pytest.mark.parametrize("eps", ["0", "-1e-5", "1e-3", "1e-12"])
def test_an_eps_by_default_is_told_and_wrong_only_where_it_is_none(eps: str, tmp_path: Path) -> None:
    report = changed(tmp_path, "honest.py", ("gamma, beta, eps)", f"gamma, beta, eps={eps})"))
    assert report.verdict is (Verdict.CORRECT if float(eps) > 0 else Verdict.WRONG)
    assert ("By default" in report.detail) is (float(eps) <= 0)
    if float(eps) > 0:
        assert report.observations["default_eps"] == float(eps)
        assert f"by default {float(eps):g}" in " ".join(str(report).split())


def test_one_bug_in_training_is_one_complaint(tmp_path: Path) -> None:
    """A backward that knows no evaluation mode answers there for the batch before, with the bug that it has."""
    mean_path = ("dmu = np.sum(dxc, axis=0)", "dmu = 0.5 * np.sum(dxc, axis=0)")
    report = changed(tmp_path, "textbook.py", mean_path)
    assert report.verdict is Verdict.WRONG
    assert {name for name, finding in report.gradients.items() if finding.verdict.failed} == {"dx"}
    assert len(report.diagnosis) == 1


def test_a_backward_that_knows_no_evaluation_mode_is_told(tmp_path: Path) -> None:
    """Its x̂ is that of the running statistics, its paths those of the batch: frozen layers learn something else."""
    report = changed(tmp_path, "switchable.py", ("not self.training", "False"))
    assert report.verdict is Verdict.INCOMPLETE
    assert list(report.not_asked) == ["gradients in evaluation"]
    wrong = changed(tmp_path, "switchable.py", ("return self.inv_std * g\n", "return self.inv_std * grad_output\n"))
    assert wrong.verdict is Verdict.WRONG
    assert {name for name, finding in wrong.gradients.items() if finding.verdict.failed} == {"dx" + EVALUATED}
    (right,) = check_target(str(ZOO / "switchable.py"))
    assert {f"{name}{EVALUATED}" for name in ("y", "dx", "dgamma", "dbeta")} <= right.gradients.keys()


@pytest.mark.parametrize("name", ["torch_module.py", "torch.nn:BatchNorm2d"])
def test_gradients_in_evaluation_are_asked_of_modules_too(name: str) -> None:
    pytest.importorskip("torch")
    reports = check_target(name if ":" in name else str(ZOO / name))
    held = [report for report in reports if "dx" + EVALUATED in report.gradients]
    assert held
    assert all(report.verdict is Verdict.CORRECT for report in held)


SUMMED = "grad_output.sum(0), None"


@pytest.mark.parametrize(
    ("right", "wrong"), [(SUMMED, "grad_output.sum(), None"), ("g = grad_output", "raise ValueError")]
)
def test_a_backward_that_raises_has_crashed_and_is_not_missing(right: str, wrong: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    report = changed(tmp_path, "torch_written.py", (right, wrong), only=":BatchNormFunction")
    assert report.verdict is Verdict.CRASHED
    assert "mine.py:BatchNormFunction raised" in report.detail


def test_what_torch_cannot_differentiate_is_a_forward_alone(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    source = "import torch\n@torch.no_grad()\ndef f(x, gamma, beta, eps=1e-5):\n"
    source += "    return gamma * (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + eps) + beta\n"
    (tmp_path / "alone.py").write_text(source, encoding="utf-8")
    (report,) = check_target(str(tmp_path / "alone.py"))
    assert report.verdict is Verdict.INCOMPLETE
    assert list(report.gradients) == ["y"]


@pytest.mark.slow
def test_writing_to_a_tensor_is_noticed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    writing = ("mean, var = x.mean(0)", "x.data -= 1; mean, var = x.mean(0)")
    report = changed(tmp_path, "torch_written.py", writing, only=":BatchNormFunction")
    assert "mutates-input" in ids(report)


def test_an_unbiased_running_variance_is_a_convention(tmp_path: Path) -> None:
    unbiased = ("(1 - self.momentum) * var", "(1 - self.momentum) * var * x.shape[0] / (x.shape[0] - 1)")
    report = changed(tmp_path, "textbook.py", unbiased)
    assert report.verdict is Verdict.CORRECT
    assert report.observations["running_variance"] == "unbiased"


@pytest.mark.slow
def test_habits_that_disturb_the_caller_are_wrong_whatever_is_answered() -> None:
    (writing,) = check_target(str(ZOO / "hostile" / "mutates.py"))
    assert writing.diagnosis[0].id == "mutates-input"
    (entangled,) = check_target(str(ZOO / "hostile" / "shares_its_cache.py"))
    assert (entangled.verdict, entangled.conforms) == (Verdict.WRONG, Verdict.CORRECT)
    assert "latest forward" in entangled.detail
    (fickle,) = check_target(str(ZOO / "hostile" / "answers_differently.py"))
    assert (fickle.verdict, fickle.gradients) == (Verdict.WRONG, {})


@pytest.mark.slow
def test_a_narrower_dtype_is_wrong_and_a_wider_one_a_habit(tmp_path: Path) -> None:
    wider = changed(tmp_path, "honest.py", ("std = np.sqrt(", "x = x.astype(np.float64)\n    std = np.sqrt("))
    assert wider.verdict is Verdict.CORRECT
    assert wider.observations["dtype_changed"]["float32"]["dx"] == "float64"
    narrower = changed(tmp_path, "honest.py", ("std = np.sqrt(", "x = x.astype(np.float16)\n    std = np.sqrt("))
    assert narrower.verdict is Verdict.WRONG


def test_a_target_that_crashes_says_why() -> None:
    (report,) = check_target(str(ZOO / "hostile" / "exits_hard.py"))
    assert report.verdict is Verdict.CRASHED
    assert "exit status 7" in report.detail
    (report,) = check_target(str(ZOO / "hostile" / "hangs_at_import.py"), time_limit=1)
    assert "within 1 s" in report.detail


def test_a_target_that_fails_on_one_case_only_has_crashed_there(tmp_path: Path) -> None:
    report = changed(tmp_path, "honest.py", ("    std = np.sqrt", "    assert len(x) != 5\n    std = np.sqrt"))
    assert report.verdict is Verdict.CRASHED
    assert "AssertionError" in report.detail
    assert report.gradients["dx"].verdict is Verdict.CORRECT


def test_a_forward_alone_is_judged_by_its_y(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def batch_norm(x, gamma, beta, eps):\n    return gamma * (x - x.mean(0)) / (x.var(0) + eps) ** 0.5 + beta\n"
    )
    (report,) = check_target(str(tmp_path / "mine.py"))
    assert (report.verdict, report.consistent, set(report.gradients)) == (Verdict.INCOMPLETE, None, {"y"})
    assert "no backward" in report.not_asked["gradients"]
    assert "a forward alone" in str(report)


def test_the_dtypes_asked_for_are_those_asked() -> None:
    (report,) = check_target(str(ZOO / "honest.py"), dtypes=("float32",))
    assert {finding.dtype for finding in report.gradients.values()} == {"float32"}
    assert report.reproduce.endswith("honest.py:forward+backward --dtype float32")
    (nothing,) = check_target(str(ZOO / "textbook.py"), dtypes=("bfloat16",))
    assert nothing.verdict is Verdict.INCONCLUSIVE


def test_a_case_that_shows_nothing_is_vacuous() -> None:
    single = Recipe.parse("NC:N:C/1x4/float64/1e-05/ordinary/random/affine/1")
    (report,) = check_target(str(ZOO / "honest.py"), case=single)
    assert report.verdict is Verdict.VACUOUS


def test_the_same_seed_says_the_same_and_another_asks_something_else() -> None:
    first, second, other = (
        examine_all([str(ZOO / "honest.py")], seed=seed).reports[0].gradients["dx"] for seed in (1, 1, 2)
    )
    assert first == second != other


@pytest.mark.slow
def test_reports_cross_processes_and_do_not_depend_on_their_number() -> None:
    files = [str(ZOO / name) for name in ("honest.py", "eps_outside.py", "textbook.py")]
    alone, together = examine_all(files), examine_all(files, jobs=2)
    assert alone == together == pickle.loads(pickle.dumps(alone))
    assert [report.target.partition(".py")[0] + ".py" for report in alone.reports] == files
    assert alone.verdict is Verdict.WRONG
    assert not alone


def test_one_that_is_not_recognised_among_several_is_a_report() -> None:
    odd = str(ZOO / "odd.py")
    found = examine_all([odd, str(ZOO / "honest.py")])
    assert [report.verdict for report in found.reports] == [Verdict.INCONCLUSIVE, Verdict.CORRECT]
    with pytest.raises(InvalidInput, match="adapter"):
        examine_all([odd])


@pytest.mark.parametrize("options", [{"layer": "batch_norm_jvp"}, {"dtypes": ("float46",)}])
def test_an_option_that_is_none_is_refused_before_any_work(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="expected one of"):
        examine_all([str(ZOO / "honest.py"), str(ZOO / "textbook.py")], **options)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    examine_all([str(ZOO / "honest.py")] * 2, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


# The library.


def test_check_takes_a_function_and_a_case_a_function_or_a_text() -> None:
    one = check(correct, random_case())
    assert isinstance(one, Check)
    assert one.verdict is Verdict.CORRECT
    usual = check(correct)
    assert isinstance(usual, TargetReport)
    assert usual.verdict is Verdict.CORRECT
    text = check(str(ZOO / "honest.py"))
    assert isinstance(text, Examination)
    assert text.verdict is Verdict.CORRECT


@pytest.mark.parametrize("layer", ["batch_norm", "layer_norm", "rms_norm"])
@pytest.mark.parametrize("bug", ["zero", "variance-path-missing", "gamma-missing", "reduced-by-mean", "eps-twice"])
def test_a_function_with_a_bug_fails_the_assertion_with_its_name(bug: str, layer: str) -> None:
    wrong = partial(BUGS[bug].vjp, layer=LAYERS[layer])
    with pytest.raises(AssertionError, match=bug):
        assert_gradients(wrong, layer=layer)
    assert_gradients(partial(correct, layer=LAYERS[layer]), layer=layer, examples=5)


def test_cases_of_ones_own_are_asked_instead() -> None:
    case = random_case()
    assert_gradients(correct, case)
    assert_gradients(correct, [case, random_case((4, 3, 8, 8))])
    with pytest.raises(AssertionError, match="gamma-missing"):
        assert_gradients(BUGS["gamma-missing"].vjp, case)
    ones = replace(case, parameters={**case.parameters, "gamma": np.ones(4)})
    assert_gradients(BUGS["gamma-missing"].vjp, ones)  # where it cannot show


def test_a_forward_is_held_against_the_backward() -> None:
    case = random_case()

    def forward(x: Any, parameters: Any) -> Any:
        xhat = (x - x.mean(0)) / (np.sqrt(x.var(0)) + case.eps)
        return parameters["gamma"] * xhat + parameters["beta"]

    with pytest.raises(AssertionError, match="not the gradient of its own forward"):
        assert_gradients(correct, replace(case, x=case.x * 1e-3), forward=forward)


def test_targets_are_asserted_by_text() -> None:
    assert_gradients(str(ZOO / "honest.py"))
    with pytest.raises(AssertionError, match="eps-outside-sqrt"):
        assert_gradients(str(ZOO / "eps_outside.py"))


def test_a_function_that_raises_has_crashed() -> None:
    def broken(case: Case) -> Gradients:
        raise ZeroDivisionError("no")

    report = examine(Given(broken, BATCH_NORM.layouts[:1]), BATCH_NORM)
    assert report.verdict is Verdict.CRASHED
    assert "ZeroDivisionError: no" in report.detail
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        assert_gradients(broken)


def test_the_strategies_and_the_assertion_work_together() -> None:
    from hypothesis import given, settings

    @settings(max_examples=10, deadline=None, derandomize=True, database=None)
    @given(cases(dtypes=("float64",), regimes=("ordinary",)))
    def holds(case: Case) -> None:
        assert_gradients(correct, case)

    holds()


def test_notebooks_show_the_report_as_it_is() -> None:
    report: Any = check(correct)
    assert report._repr_html_().startswith("<pre>correct: ")
    assert "&lt;" not in report._repr_html_()
    assert "<b>" not in replace(report, target="<b>")._repr_html_()


def test_a_weight_that_is_none_is_told(tmp_path: Path) -> None:
    report = changed(tmp_path, "textbook.py", ("self.momentum = momentum", "self.momentum = -momentum"))
    assert report.verdict is Verdict.WRONG
    assert report.detail.endswith("which is no weight of an average.")
    assert "unknown" not in ids(report)
