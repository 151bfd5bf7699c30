"""The suite that others inherit: right code passes it, wrong code fails where it is wrong, and nothing is vacuous."""

import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from test_light_core import light

import bncheck.conformance
from bncheck import Conformance
from bncheck.bugs.catalogue.bug import correct
from bncheck.bugs.planting import touched
from bncheck.case import Case, Gradients, Layout
from bncheck.errors import InvalidInput
from bncheck.layers import LAYERS, Layer

pytest_plugins = ["pytester"]

OWN = """
import numpy as np
from bncheck import Conformance

class InNumPy(Conformance):
    layouts = ["NC:N:C"]
    dtypes = ["float32"]

    def vjp(self, case):
        gamma, beta = case.parameters["gamma"], case.parameters["beta"]
        centred = case.x - case.x.mean(0)
        std = np.sqrt((centred**2).mean(0) + case.x.dtype.type(case.eps))
        xhat, dxhat = centred / std, case.dy * gamma
        dx = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / std
        dgamma, dbeta = (case.dy * xhat).sum(0), case.dy.sum(0)
        return {"y": gamma * xhat + beta, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
"""

RIGHT = """
class TestRight(InNumPy):
    def evaluation(self, case):
        gamma, beta = case.parameters["gamma"], case.parameters["beta"]
        std = np.sqrt(case.state["running_var"] + case.x.dtype.type(case.eps))
        xhat = (case.x - case.state["running_mean"]) / std
        dgamma, dbeta = (case.dy * xhat).sum(0), case.dy.sum(0)
        return {"y": gamma * xhat + beta, "dx": gamma * case.dy / std, "dgamma": dgamma, "dbeta": dbeta}

    def running(self, case):
        weight, m = case.settings["new_weight"], case.count
        var = case.x.var(0) * m / (m - case.settings["ddof"])
        old_mean, old_var = case.state["running_mean"], case.state["running_var"]
        moved = {
            "new_running_mean": old_mean + weight * (case.x.mean(0) - old_mean),
            "new_running_var": old_var + weight * (var - old_var),
        }
        return {**self.vjp(case), **{name: value.astype(case.dtype) for name, value in moved.items()}}
"""

WRONG = """
class TestSign(InNumPy):
    def vjp(self, case):
        answer = super().vjp(case)
        return {**answer, "dgamma": -answer["dgamma"]}

class TestInPlace(InNumPy):
    def vjp(self, case):
        answer = super().vjp(case)
        np.multiply(case.dy, 2, out=case.dy)
        return answer

class TestWider(InNumPy):
    def vjp(self, case):
        return {name: value.astype("float64") for name, value in super().vjp(case).items()}

class TestForgetful(InNumPy):
    calls = 0

    def vjp(self, case):
        TestForgetful.calls += 1
        answer = super().vjp(case)
        return {**answer, "dx": answer["dx"] * (1 + TestForgetful.calls % 2 * 2.0**-23)}

class TestSilent(InNumPy):
    def vjp(self, case):
        return {name: value for name, value in super().vjp(case).items() if name != "dbeta"}

class TestRaises(InNumPy):
    def vjp(self, case):
        return super().vjp(case) if len(case.x) < 16 else {}["nothing"]

class TestStored(InNumPy):
    settings = {"ddof": 1}
    answers = {"running": ["new_running_var"]}

    def running(self, case):
        old, weight = case.state["running_var"], case.settings["new_weight"]
        return {**super().vjp(case), "new_running_var": (old + weight * (case.x.var(0) - old)).astype("float32")}
"""
"""The last one stores the variance of the population, and claims that it stores the other."""

EXPECTED = {
    "TestSign::test_right[vjp-NC:N:C-float32-dgamma]",
    "TestSign::test_drawn_cases[vjp]",
    "TestInPlace::test_input_unchanged[vjp-NC:N:C-float32]",
    "TestWider::test_dtype_and_shape[vjp-NC:N:C-float32]",
    "TestForgetful::test_repeatable[vjp-NC:N:C-float32]",
    "TestSilent::test_right[vjp-NC:N:C-float32-dbeta]",
    "TestSilent::test_planted_bugs_are_caught[vjp]",
    *(f"TestRaises::test_right[vjp-NC:N:C-float32-{name}]" for name in ("y", "dx", "dgamma", "dbeta")),
    "TestStored::test_right[running-NC:N:C-float32-new_running_var]",
    "TestStored::test_drawn_cases[running]",
}
"""Where each of the wrong ones fails; and nowhere else."""


def run(pytester: pytest.Pytester, *suites: str) -> pytest.RunResult:
    pytester.makepyfile(OWN + "".join(suites))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rfs", "--bncheck-cases=5")


def failed(done: pytest.RunResult) -> set[str]:
    return set(re.findall(r"^FAILED \w+\.py::(\S+)", done.stdout.str(), re.MULTILINE))


def test_right_ones_pass_and_wrong_ones_fail_where_they_are_wrong(pytester: pytest.Pytester) -> None:
    done = run(pytester, RIGHT, WRONG)
    assert failed(done) == EXPECTED
    done.stdout.fnmatch_lines(
        [
            "*TestSign.vjp: wrong*",
            "*dgamma*wrong*",
            "*TestInPlace.vjp wrote to dy, expected to leave its input alone. Copy it.*",
            "*TestWider.vjp: y is float64 (6, 4), expected float32 (6, 4), as the case has it.*",
            "*TestForgetful.vjp: dx of the same case was another the second time.*",
            "*TestSilent.vjp answers y, dx, dgamma, expected dbeta too. Or leave it out of `answers`.*",
            "*KeyError: 'nothing'*",
            "*It raised KeyError: 'nothing'.*",
            "*running-var-biased*",
            "*SKIPPED*define jvp(self, case): y along the tangents*",
        ]
    )


def suite_of(name: str, dtype: str = "float64", **claims: Any) -> Conformance:
    """The suite of a right implementation of a layer, in its first layout."""

    class Right(Conformance):
        layer = name
        layouts = LAYERS[name].layouts[:1]
        dtypes = (dtype,)
        answers = MappingProxyType(claims)

        def vjp(self, case: Case) -> Gradients:
            return correct(case, LAYERS[name])

        def jvp(self, case: Case) -> Gradients:
            return correct(case, LAYERS[f"{name}_jvp"])

    return Right()


@pytest.mark.parametrize("name", [name for name in LAYERS if not name.endswith("_jvp")])
def test_every_bug_is_noticed_in_every_layer(name: str) -> None:
    suite_of(name).test_planted_bugs_are_caught("vjp")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_in_lower_precision_too(dtype: str) -> None:
    suite = suite_of("layer_norm", dtype)
    suite.test_right("vjp", "ND:D:D", dtype, "dx")
    suite.test_planted_bugs_are_caught("vjp")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_norm", "group_norm", "rms_norm"])
def test_in_the_second_order_too(name: str) -> None:
    suite = suite_of(name)
    suite.test_right("jvp", str(LAYERS[name].layouts[0]), "float64", "dx")
    suite.test_planted_bugs_are_caught("jvp")


def test_a_judge_that_lets_everything_pass_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bncheck.conformance, "compare", lambda answer, truth, allowed: {})
    with pytest.raises(AssertionError, match=r"planted into vjp and not noticed: zero, .*gamma-missing"):
        suite_of("batch_norm").test_planted_bugs_are_caught("vjp")


@pytest.mark.parametrize("hold", ["_hold_kind", "_hold_unchanged"])
def test_so_is_one_that_does_not_look_at_dtypes_or_at_the_input(hold: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bncheck.conformance, hold, lambda subject, case: None)
    with pytest.raises(AssertionError, match="dtype-changed" if hold == "_hold_kind" else "mutates-input"):
        suite_of("batch_norm", "float32").test_planted_bugs_are_caught("vjp")


def test_only_what_is_claimed_is_asked() -> None:
    suite = suite_of("batch_norm", vjp=("y",))
    assert suite._results("vjp") == ["y"]
    layout = LAYERS["batch_norm"].layouts[0]
    planted = {bug.id for bug in suite._bugs("vjp", layout, "float64")}
    case = suite._cases("vjp", layout, "float64")[0]
    assert planted == {n for n, shows in touched(LAYERS["batch_norm"], case).items() if "y" in shows} | {
        "mutates-input",
        "dtype-changed",
    }
    suite.test_planted_bugs_are_caught("vjp")


def leaky(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    mean_square = mean(x * x)
    return {"mean_square": mean_square, "y": gamma * x / (sqrt(mean_square + eps) + 1)}


class OfMyOwn(Conformance):
    layer = Layer(leaky, (Layout("ND", "D", "D"),))
    eps = 0.25

    def vjp(self, case: Case) -> Gradients:
        assert case.eps == 0.25
        return correct(case, self.layer)


def test_a_layer_of_ones_own_and_an_eps_that_it_keeps_to() -> None:
    suite = OfMyOwn()
    suite.test_right("vjp", "ND:D:D", "float64", "dx")
    suite.test_planted_bugs_are_caught("vjp")
    assert suite._modes() == ["vjp", "jvp"]


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"layer": "bach_norm"}, "Did you mean batch_norm?"),
        ({"layouts": ["NC:N"]}, "expected axes:reduced:affine"),
        ({"dtypes": ["flaot32"]}, "Did you mean float32?"),
        ({"dtypes": []}, r"dtypes=\(\), expected at least one"),
        ({"answers": {"evaluate": ["y"]}}, "Did you mean evaluation?"),
        ({"answers": {"vjp": ["dgama"]}}, "Did you mean dgamma?"),
    ],
    ids=str,
)
def test_a_claim_that_means_nothing_is_refused(claims: dict[str, Any], message: str) -> None:
    suite = type("TestMine", (Conformance,), claims)()
    with pytest.raises(InvalidInput, match=message):
        suite._modes(), suite._layouts(), suite._dtypes(), suite._results("vjp")


def test_without_a_method_nothing_passes() -> None:
    class TestNothing(Conformance):
        layouts = ("NC:N:C",)

    for name in ("y", "dx"):
        with pytest.raises(AssertionError, match="crashed"):
            TestNothing().test_right("vjp", "NC:N:C", "float64", name)
    for test in ("test_dtype_and_shape", "test_input_unchanged", "test_repeatable"):
        with pytest.raises(NotImplementedError, match=r"Define vjp\(self, case\)"):
            getattr(TestNothing(), test)("vjp", "NC:N:C", "float64")
    with pytest.raises(NotImplementedError):
        TestNothing().test_planted_bugs_are_caught("vjp")


def test_it_needs_no_extra(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(OWN + "class TestMine(InNumPy): pass\n", encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-k", "drawn or planted", "test_mine.py"]
    done = light(f"import pytest\nsys.exit(pytest.main({options}))", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


TORCH = """
import torch
from bncheck import Conformance

class TestTorch(Conformance):
    layouts = ["NCHW:NHW:C"]
    dtypes = ["float64"]
    settings = {"ddof": 1}

    def asked(self, case, training=True, **state):
        tensors = {name: torch.from_numpy(value).requires_grad_() for name, value in case.parameters.items()}
        x, (gamma, beta) = torch.from_numpy(case.x).requires_grad_(), tensors.values()
        state = {name: torch.from_numpy(value) for name, value in case.state.items()}
        momentum = case.settings.get("new_weight", 0.1)
        y = torch.nn.functional.batch_norm(
            x, *(state.values() or (None, None)), gamma, beta, training, momentum=momentum, eps=case.eps
        )
        dx, dgamma, dbeta = torch.autograd.grad(y, (x, gamma, beta), torch.from_numpy(case.dy))
        answer = {"y": y.detach(), "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
        if training:
            answer |= {f"new_{name}": value for name, value in state.items()}
        return {name: value.numpy() for name, value in answer.items()}

    def vjp(self, case):
        return self.asked(case)

    def evaluation(self, case):
        return self.asked(case, training=False)

    def running(self, case):
        return self.asked(case)
"""


@pytest.mark.slow
def test_torch_passes_but_for_the_state_that_it_changes_in_place(pytester: pytest.Pytester) -> None:
    pytest.importorskip("torch")
    pytester.makepyfile(TORCH)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rf", "--bncheck-cases=5")
    assert failed(done) == {"TestTorch::test_input_unchanged[running-NCHW:NHW:C-float64]"}
    done.stdout.fnmatch_lines(["*wrote to running_mean, running_var, expected to leave its input alone.*"])
