"""Correct is a claim about all that a layer has: what could not be asked, or was not found, is said."""

from pathlib import Path
from textwrap import dedent

import pytest

from bncheck.examination.files import check_target
from bncheck.results import Examination, TargetReport
from bncheck.tolerances.verdicts import Verdict

FORWARD = """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps=1e-5):
    xhat = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    return gamma * xhat + beta, (xhat, np.sqrt(x.var(0) + eps), gamma)
"""

BACKWARD = """
def batchnorm_backward(dout, cache):
    xhat, std, gamma = cache
    g = gamma * dout
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dout * xhat).sum(0), dout.sum(0)
"""


@pytest.fixture
def asked(tmp_path: Path) -> "Asked":
    return Asked(tmp_path)


class Asked:
    """What is said of a file that holds some code."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mine.py"

    def all_of(self, code: str) -> tuple[TargetReport, ...]:
        self.file.write_text(dedent(code), encoding="utf-8")
        return check_target(str(self.file))

    def __call__(self, code: str) -> TargetReport:
        (report,) = self.all_of(code)
        return report


def test_what_is_whole_is_correct_and_says_what_was_asked(asked: Asked) -> None:
    report = asked(FORWARD + BACKWARD)
    assert report.verdict is Verdict.CORRECT
    assert report.not_asked == {}
    assert set(report.asked["gradients"]) == {"y", "dx", "dgamma", "dbeta"}
    assert {"float64", "float32"} <= set(report.asked["dtypes"])


def test_a_parameter_whose_gradient_is_kept_back_leaves_it_incomplete(asked: Asked) -> None:
    report = asked("""
        import numpy as np

        def rms_forward(x, knob=None, eps=1e-5):
            g = np.ones(x.shape[-1]) if knob is None else knob
            r = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
            return g * x / r, (x, r, g)

        def rms_backward(dy, cache):
            x, r, g = cache
            d = g * dy
            return d / r - x * (d * x).mean(-1, keepdims=True) / r**3
        """)
    assert report.verdict is Verdict.INCOMPLETE
    assert set(report.not_asked) == {"dgamma"}


def test_what_y_follows_and_nobody_can_hand_over_leaves_it_incomplete(asked: Asked) -> None:
    report = asked("""
        import numpy as np

        kept = {}

        def rms_forward(x, eps=1e-5):
            g = kept.setdefault(x.shape[-1], np.ones(x.shape[-1]))
            r = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
            return g * x / r, (x, r, g)

        def rms_backward(dy, cache):  # it forgets g
            x, r, g = cache
            return dy / r - x * (dy * x).mean(-1, keepdims=True) / r**3
        """)
    assert report.verdict is Verdict.INCOMPLETE
    assert any("kept" in name for name in report.not_asked)


def test_a_parameter_that_the_layer_has_not_is_held_still_and_that_is_said(asked: Asked) -> None:
    report = asked("""
        import numpy as np

        class RMSNorm:
            def __init__(self, dim, eps=1e-6):
                self.weight, self.bias, self.eps = np.ones(dim), np.zeros(dim), eps

            def forward(self, x):
                self.x, self.r = x, np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
                return self.weight * x / self.r + self.bias

            def backward(self, dy):
                axes = tuple(range(dy.ndim - 1))
                self.dweight, self.dbias = (dy * self.x / self.r).sum(axes), 2 * dy.sum(axes)
                d = self.weight * dy
                return d / self.r - self.x * (d * self.x).mean(-1, keepdims=True) / self.r**3
        """)
    assert report.verdict is Verdict.INCOMPLETE
    assert set(report.not_asked) == {"self.bias"}


def test_a_forward_without_a_backward_is_incomplete(asked: Asked) -> None:
    report = asked(FORWARD)
    assert report.verdict is Verdict.INCOMPLETE
    assert "no backward was found" in report.not_asked["gradients"]


def test_a_gradient_that_is_not_returned_is_not_asked(asked: Asked) -> None:
    report = asked(FORWARD + BACKWARD.replace(", (dout * xhat).sum(0), dout.sum(0)", ", dout.sum(0)"))
    assert report.verdict is Verdict.INCOMPLETE
    assert set(report.not_asked) == {"dgamma"}


def test_a_backward_that_no_forward_goes_with_is_told_beside_what_is_right(asked: Asked) -> None:
    pair, alone = asked.all_of(FORWARD + BACKWARD + BACKWARD.replace("batchnorm", "layernorm").replace("xhat *", "0 *"))
    assert (pair.verdict, alone.verdict) == (Verdict.CORRECT, Verdict.INCOMPLETE)
    assert "layernorm_backward" in alone.detail
    assert Examination(0, (pair, alone)).verdict is Verdict.INCOMPLETE


def test_a_backward_that_other_code_calls_is_none_that_stands_alone(asked: Asked) -> None:
    helper = BACKWARD.replace("batchnorm_backward", "norm_core_backward")
    report = asked(
        FORWARD + helper + "def batchnorm_backward(dout, cache):\n    return norm_core_backward(dout, cache)\n"
    )
    assert report.verdict is Verdict.CORRECT


def test_what_was_passed_over_is_said(asked: Asked) -> None:
    more = "def relu(x):\n    return np.maximum(x, 0)\n\ndef batchnorm_test(x, gamma):\n    raise ValueError\n"
    report = asked(FORWARD + BACKWARD + more)
    told = {name for names in report.observations["passed_over"].values() for name in names}
    assert told == {"relu", "batchnorm_test"}


def test_a_layout_that_is_taken_and_answered_otherwise_is_wrong(asked: Asked) -> None:
    report = asked("""
        import numpy as np

        class BatchNorm:
            def __init__(self, features, eps=1e-5):
                self.gamma, self.beta, self.eps = np.ones(features), np.zeros(features), eps

            def forward(self, x):
                self.axes = (0,) if x.ndim == 2 else (0, 2)  # images: the last axis is forgotten
                shape = [1 if k != 1 else -1 for k in range(x.ndim)]
                self.g = self.gamma.reshape(shape)
                self.std = np.sqrt(x.var(self.axes, keepdims=True) + self.eps)
                self.xhat = (x - x.mean(self.axes, keepdims=True)) / self.std
                return self.g * self.xhat + self.beta.reshape(shape)

            def backward(self, dy):
                rest = tuple(k for k in range(dy.ndim) if k != 1)
                self.dgamma, self.dbeta = (dy * self.xhat).sum(rest), dy.sum(rest)
                g = self.g * dy
                mean = g.mean(self.axes, keepdims=True) + self.xhat * (g * self.xhat).mean(self.axes, keepdims=True)
                return (g - mean) / self.std
        """)
    assert report.verdict is Verdict.WRONG
    assert "NCHW:NHW:C" in report.asked["layouts"]


STATISTICS = """
class BatchNorm:
    def __init__(self, features, momentum=0.9, eps=1e-5):
        self.gamma, self.beta, self.eps, self.momentum = np.ones(features), np.zeros(features), eps, momentum
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)
        self.training = True

    def forward(self, x):
        if not self.training:
            EVALUATION
        mean, var = x.mean(0), x.var(0)
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.xhat).sum(0), dy.sum(0)
        g = self.gamma * dy
        return (g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)) / self.std
"""
STORED = """
            self.std = np.sqrt(self.running_var + self.eps)
            self.xhat = (x - self.running_mean) / self.std
            return self.gamma * self.xhat + self.beta
"""
UNSTORED = "return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + self.eps) + self.beta"


def test_running_statistics_that_nothing_uses_are_not_asked(asked: Asked) -> None:
    without = STATISTICS.replace("        self.training = True\n", "").replace(
        "        if not self.training:\n            EVALUATION\n", ""
    )
    report = asked("import numpy as np\n" + without)
    assert report.verdict is Verdict.INCOMPLETE
    assert "no way into evaluation was found" in report.not_asked["evaluation"]


def test_evaluation_without_a_backward_of_its_own_is_a_convention(asked: Asked) -> None:
    """After it a backward answers for the training step before: nobody promised anything else."""
    report = asked("import numpy as np\n" + STATISTICS.replace("EVALUATION", UNSTORED))
    assert report.verdict is Verdict.CORRECT
    assert "evaluation_backward" in report.observations


def test_a_backward_that_is_that_of_training_for_what_was_evaluated_is_not_called_correct(asked: Asked) -> None:
    report = asked("import numpy as np\n" + STATISTICS.replace("EVALUATION", STORED.strip()))
    assert report.verdict is not Verdict.CORRECT


def test_what_its_own_method_clears_only_in_part_is_wrong(asked: Asked) -> None:
    code = """
        import numpy as np

        class LayerNorm:
            def __init__(self, dim, eps=1e-5):
                self.gamma, self.beta, self.eps = np.ones(dim), np.zeros(dim), eps
                self.reset()

            def forward(self, x):
                self.std = np.sqrt(x.var(-1, keepdims=True) + self.eps)
                self.xhat = (x - x.mean(-1, keepdims=True)) / self.std
                return self.gamma * self.xhat + self.beta

            def backward(self, dy):
                axes = tuple(range(dy.ndim - 1))
                self.dgamma += (dy * self.xhat).sum(axes)
                self.dbeta += dy.sum(axes)
                g = self.gamma * dy
                mean = g.mean(-1, keepdims=True) + self.xhat * (g * self.xhat).mean(-1, keepdims=True)
                return (g - mean) / self.std

            def reset(self):
                self.dgamma = np.zeros_like(self.gamma)
                self.dbeta = np.zeros_like(self.beta)
        """
    report = asked(code)
    assert report.verdict is Verdict.CORRECT
    assert report.observations["accumulates"]
    forgetful = code.replace(
        "                self.dbeta = np.zeros_like(self.beta)\n",
        "                self.dbeta = getattr(self, 'dbeta', np.zeros_like(self.beta))\n",
    )
    report = asked(forgetful)
    assert report.verdict is Verdict.WRONG
    assert "reset() clears dgamma, but not dbeta" in report.detail


def test_a_pair_for_one_rank_is_right_and_where_it_was_not_asked_is_said(asked: Asked) -> None:
    report = asked("""
        import numpy as np

        def layer_norm_forward(x, gamma, beta, eps=1e-5):
            std = np.sqrt(x.var(-1, keepdims=True) + eps)
            xhat = (x - x.mean(-1, keepdims=True)) / std
            return gamma * xhat + beta, (xhat, std, gamma)

        def layer_norm_backward(dy, cache):
            xhat, std, gamma = cache
            g = gamma * dy
            mean = g.mean(-1, keepdims=True) + xhat * (g * xhat).mean(-1, keepdims=True)
            return (g - mean) / std, (dy * xhat).sum(axis=0), dy.sum(axis=0)
        """)
    assert report.verdict is Verdict.CORRECT
    assert report.observations["misshapen"] == ["NLD:D:D"]
