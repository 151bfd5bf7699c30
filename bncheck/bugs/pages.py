"""What there is to say about each bug of the catalogue beside its formula: how it hides, its code, where it was seen.

Code lines use x, gamma, eps, dy, and m for the size of a group; axis is what a mean reduces, shared the axes that dγ
and dβ are summed over; mean, var, std, inv_std, xhat and dxhat are what they are everywhere in bncheck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Page:
    """`wrong` and `right` are a few lines of NumPy each; `seen` names public issues, as repository#number."""

    hides: str
    wrong: str
    right: str
    seen: tuple[str, ...] = ()


_FORWARD = (
    "A check of the backward pass against its own forward pass agrees with itself: compare y with the definition."
)
_CONSTANT_DY = "Where dy is constant, as in y.sum().backward(), or a group has one element, the true dx is zero."
_TOLERANCE = "Where σ² is much larger than ε, it shifts dx by less than gradcheck's tolerance of 1e-3."
_MEAN_ZERO = "For random dy it is 1/√m of dx; where dx̂ has mean zero over a group it is invisible."
_GAMMA_ONE = "Where γ = 1, as after initialization, it is invisible."
_SQUARE = "Where the sizes coincide, N = C or H·W = 1, it is invisible."
_TRAINED = "Training goes on; only evaluation is wrong, and only after a while."
_SECOND = "A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it."

_DX = "dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))"
_NORMALIZE = "xhat = (x - mean) / np.sqrt(var + eps)"
_DOUBLE = "def double_backward(ddx): ...  # vjp of the backward pass, through inv_std, xhat and the sums"
_JVP = "y_dot = gamma_dot * xhat + gamma * inv_std * (x_dot - x_dot.mean(axis) - xhat * (x_dot * xhat).mean(axis))"

_EPS_ISSUES = ("keras#10427", "ncnn#311", "chainer#4505", "chainer#4191")
_AXIS_ISSUES = ("keras#1921", "NumPyNet#7", "fastembed#682")
_ONE_PASS_ISSUES = ("flax#1491", "equinox#314", "burn#5607")
_EVAL_ISSUES = ("pytorch/xla#913", "keras#9965", "matconvnet#1174")
_DDOF_ISSUES = ("pytorch#3122", "mlx#3817")
_CONSTANT_ISSUES = ("facebookresearch/CrypTen#143", "deeplearning4j#8379")
_SECOND_ISSUES = ("pytorch#2277", "pytorch#186256")
_COUNT_ISSUES = ("Liger-Kernel#1376", "pytorch#36382", "apex#387")
_ROOT_ISSUES = ("Synchronized-BatchNorm-PyTorch#43", "jax#443")

PAGES: Mapping[str, Page] = MappingProxyType(
    {
        "zero": Page(_CONSTANT_DY, "dx = np.zeros_like(x)", _DX),
        "mean-path-missing": Page(_MEAN_ZERO, "dx = inv_std * (dxhat - xhat * (dxhat * xhat).mean(axis))", _DX),
        "variance-path-missing": Page(
            f"{_CONSTANT_DY} Fast gradcheck passes it on anything but small arrays.",
            "dx = inv_std * (dxhat - dxhat.mean(axis))",
            _DX,
        ),
        "statistics-constant": Page(
            "In large groups, for random dy, the missing paths are 1/√m of dx.",
            "dx = dxhat * inv_std",
            _DX,
            _CONSTANT_ISSUES,
        ),
        "mean-path-doubled": Page(
            _MEAN_ZERO,
            "dmean = -2 * (dxhat * inv_std).sum(axis)",
            "dmean = -(dxhat * inv_std).sum(axis)",
            ("tt-metal#53204",),
        ),
        "variance-path-doubled": Page(
            _CONSTANT_DY,
            "dvar = -(dxhat * (x - mean)).sum(axis) * inv_std**3",
            "dvar = -0.5 * (dxhat * (x - mean)).sum(axis) * inv_std**3",
        ),
        "path-sign": Page(
            "Its shape is right, and its sign in most elements.",
            "dx = inv_std * (dxhat + dxhat.mean(axis) + xhat * (dxhat * xhat).mean(axis))",
            _DX,
        ),
        "mean-path-own-sample": Page(
            "In large groups, where dx̂ has mean zero, what is wrong is 1/m of dx.",
            "dx = inv_std * (dxhat - dxhat / m - xhat * (dxhat * xhat).mean(axis))",
            _DX,
        ),
        "exponent-wrong": Page(
            "Where σ² + ε is near 0.63 the two powers agree.",
            "dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -3 / 2",
            "dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -1.5",
        ),
        "exponent-sign": Page(
            "Where σ² + ε = 1, as for data that are standard normal, it is almost invisible.",
            "dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** 1.5",
            "dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -1.5",
        ),
        "ddof": Page(
            "In large groups m and m - 1 are nearly the same.",
            "dx = inv_std * (dxhat - dxhat.sum(axis) / (m - 1) - xhat * (dxhat * xhat).sum(axis) / (m - 1))",
            _DX,
            _DDOF_ISSUES,
        ),
        "count-wrong": Page(_SQUARE, "m = x.shape[0]  # N", "m = x.size // x.shape[1]  # N * H * W", _COUNT_ISSUES),
        "gamma-missing": Page(_GAMMA_ONE, "dxhat = dy", "dxhat = dy * gamma", ("Knet.jl#288",)),
        "gamma-twice": Page(
            _GAMMA_ONE,
            "dxhat = dy * gamma\ndx = gamma * inv_std * (dxhat - ...)",
            "dxhat = dy * gamma\ndx = inv_std * (dxhat - ...)",
            ("Megatron-LM#6859",),
        ),
        "gamma-outside-sum": Page(
            f"It is right in batch norm, where γ is constant over a group, and is carried over. {_GAMMA_ONE}",
            "dx = gamma * inv_std * (dy - dy.mean(axis) - xhat * (dy * xhat).mean(axis))",
            f"dxhat = dy * gamma\n{_DX}",
        ),
        "gamma-per-group": Page(
            f"With one channel in a group it is invisible. {_GAMMA_ONE}",
            "gamma = gamma.reshape(1, groups, 1, 1)",
            "gamma = gamma.reshape(1, groups, channels // groups, 1)",
            ("oneflow#4848",),
        ),
        "returns-dxhat": Page(
            "Its shape is right, and its sign mostly.",
            "return dxhat, dgamma, dbeta",
            f"{_DX}\nreturn dx, dgamma, dbeta",
        ),
        "returns-dy": Page("Its shape is right.", "return dy, dgamma, dbeta", f"{_DX}\nreturn dx, dgamma, dbeta"),
        "one-element": Page(
            "It is below the tolerance of any gradient check that compares with a chosen one.",
            "dx[0, 0] *= 1.00001",
            _DX,
        ),
        "eps-missing-in-backward": Page(
            _TOLERANCE, "inv_std = 1 / np.sqrt(var)", "inv_std = 1 / np.sqrt(var + eps)", _EPS_ISSUES
        ),
        "eps-mismatch": Page(
            _TOLERANCE, "def backward(dy, cache, eps=1e-6): ...", "x, mean, inv_std, gamma = cache", _EPS_ISSUES
        ),
        "eps-ignored": Page(
            _TOLERANCE, "inv_std = 1 / np.sqrt(var + 1e-5)", "inv_std = 1 / np.sqrt(var + eps)", _EPS_ISSUES
        ),
        "eps-outside-sqrt": Page(_FORWARD, "xhat = (x - mean) / (np.sqrt(var) + eps)", _NORMALIZE, _EPS_ISSUES),
        "eps-outside-in-forward-only": Page(
            _TOLERANCE,
            f"std = np.sqrt(var) + eps\ninv_std = 1 / std\n{_DX}",
            f"std = np.sqrt(var + eps)\ninv_std = 1 / std\n{_DX}",
            _EPS_ISSUES,
        ),
        "eps-twice": Page(_FORWARD, "xhat = (x - mean) / (np.sqrt(var + eps) + eps)", _NORMALIZE, _EPS_ISSUES),
        "eps-missing": Page(
            "Only a group without variance shows it, and there as NaN.",
            "xhat = (x - mean) / np.sqrt(var)",
            _NORMALIZE,
            ("keras#2960", "pytorch#4320"),
        ),
        "max-for-plus": Page(
            "Where σ² is much larger than ε the two agree.",
            "std = np.sqrt(np.maximum(var, eps))",
            "std = np.sqrt(var + eps)",
            _ROOT_ISSUES,
        ),
        "var-for-std": Page(
            "Where σ² is near 1 the two agree.", "xhat = (x - mean) / (var + eps)", _NORMALIZE, _ROOT_ISSUES
        ),
        "std-for-var": Page(
            "Where σ² is near 1 the two agree.", "var = x.std(axis)", "var = x.var(axis)", _ROOT_ISSUES
        ),
        "ddof-forward": Page(
            f"In large groups m and m - 1 are nearly the same. {_FORWARD}",
            "var = x.var(axis, ddof=1)",
            "var = x.var(axis)",
            _DDOF_ISSUES,
        ),
        "ddof-in-forward-only": Page(
            "In large groups m and m - 1 are nearly the same.",
            f"var = x.var(axis, ddof=1)\n{_DX}",
            f"var = x.var(axis)\n{_DX}",
            _DDOF_ISSUES,
        ),
        "one-pass-variance": Page(
            "Near zero it is exact. In float32 at mean 1000 it is off by 40 %, and may be negative: then y is NaN.",
            "var = (x * x).mean(axis) - x.mean(axis) ** 2",
            "var = ((x - x.mean(axis)) ** 2).mean(axis)",
            _ONE_PASS_ISSUES,
        ),
        "axis-wrong": Page(
            f"{_FORWARD} Where the sizes coincide, the shapes do not tell.",
            "mean = x.mean(axis=1)",
            "mean = x.mean(axis=0)",
            _AXIS_ISSUES,
        ),
        "layout-wrong": Page(
            _FORWARD, "mean = x.mean(axis=(0, 1, 2))  # x is NCHW", "mean = x.mean(axis=(0, 2, 3))", _AXIS_ISSUES
        ),
        "per-activation": Page(
            f"{_SQUARE} {_FORWARD}", "mean = x.mean(axis=0)", "mean = x.mean(axis=(0, 2, 3))", _AXIS_ISSUES
        ),
        "statistics-over-everything": Page(
            f"With one channel it is invisible. {_FORWARD}",
            "mean = x.mean()",
            "mean = x.mean(axis=(0, 2, 3))",
            _AXIS_ISSUES,
        ),
        "batch-axis-reduced": Page(
            f"With one sample it is invisible. {_FORWARD}",
            "mean = x.mean()",
            "mean = x.mean(axis=-1, keepdims=True)",
            _AXIS_ISSUES,
        ),
        "mean-gradient-ignored": Page(
            "A loss that uses y alone does not show it.",
            "dmean = -(dxhat * inv_std).sum(axis)",
            "dmean = dmean_out - (dxhat * inv_std).sum(axis)",
        ),
        "var-gradient-ignored": Page(
            "A loss that uses y alone does not show it.", "dvar = -0.5 * ...", "dvar = dvar_out - 0.5 * ..."
        ),
        "eval-uses-batch-formula": Page(
            "A check in training mode does not see it; frozen layers do.",
            _DX,
            "dx = dy * gamma / np.sqrt(running_var + eps)",
            _EVAL_ISSUES,
        ),
        "eval-uses-batch-statistics": Page(
            "On large batches like those of training the two nearly agree.",
            "mean, var = x.mean(axis), x.var(axis)",
            "mean, var = running_mean, running_var",
            _EVAL_ISSUES,
        ),
        "training-uses-running-statistics": Page(
            "After long training the two nearly agree.",
            "mean, var = running_mean, running_var",
            "mean, var = x.mean(axis), x.var(axis)",
            _EVAL_ISSUES,
        ),
        "momentum-inverted": Page(
            _TRAINED,
            "running = (1 - 0.1) * mean + 0.1 * running",
            "running = 0.1 * mean + (1 - 0.1) * running",
            ("d2l-en#2213", "tinygrad#807"),
        ),
        "running-only-new-batch": Page(
            _TRAINED,
            "running_mean = mean",
            "running_mean += weight * (mean - running_mean)",
        ),
        "running-not-updated": Page(
            _TRAINED,
            "running_mean + weight * (mean - running_mean)",
            "running_mean += weight * (mean - running_mean)",
            ("aprender#2166", "pytorch#20967"),
        ),
        "running-var-unbiased": Page(
            "In large groups the two nearly agree; with one element it is NaN.",
            "running_var += weight * (var * m / (m - 1) - running_var)",
            "running_var += weight * (var - running_var)",
            ("pytorch#1381", "tinygrad#807"),
        ),
        "running-var-biased": Page(
            "In large groups the two nearly agree.",
            "running_var += weight * (var - running_var)",
            "running_var += weight * (var * m / (m - 1) - running_var)",
            ("d2l-en#2213",),
        ),
        "reduced-by-mean": Page(
            "The direction is right; a learning rate hides the size.",
            "dgamma = (dy * xhat).mean(shared)",
            "dgamma = (dy * xhat).sum(shared)",
        ),
        "divided-by-samples": Page(
            "The direction is right; a learning rate hides the size.",
            "dgamma = (dy * xhat).sum(shared) / x.shape[0]",
            "dgamma = (dy * xhat).sum(shared)",
        ),
        "not-reduced": Page(
            "Where γ broadcasts, an update by it broadcasts, too.",
            "dgamma = dy * xhat",
            "dgamma = (dy * xhat).sum(shared)",
        ),
        "summed-over-everything": Page(
            "With one channel it is invisible; an update by a number broadcasts.",
            "dgamma = (dy * xhat).sum()",
            "dgamma = (dy * xhat).sum(shared)",
        ),
        "dgamma-not-xhat": Page(
            "Where γ = 1 and β = 0, y is x̂.", "dgamma = (dy * y).sum(shared)", "dgamma = (dy * xhat).sum(shared)"
        ),
        "dgamma-from-x": Page(
            "Data that are normalized already are x̂.",
            "dgamma = (dy * x).sum(shared)",
            "dgamma = (dy * xhat).sum(shared)",
        ),
        "dgamma-from-centred": Page(
            "Where σ² + ε = 1, x - μ is x̂.",
            "dgamma = (dy * (x - mean)).sum(shared)",
            "dgamma = (dy * xhat).sum(shared)",
        ),
        "dbeta-not-dy": Page("Its shape is right.", "dbeta = y.sum(shared)", "dbeta = dy.sum(shared)"),
        "tangent-mean-missing": Page(
            "A direction of mean zero does not show it.",
            "y_dot = gamma * inv_std * (x_dot - xhat * (x_dot * xhat).mean(axis))",
            _JVP,
        ),
        "tangent-variance-missing": Page(
            "A direction that x̂ is orthogonal to does not show it.",
            "y_dot = gamma * inv_std * (x_dot - x_dot.mean(axis))",
            _JVP,
        ),
        "tangent-statistics-constant": Page(
            "The gradients of reverse mode are right.", "y_dot = gamma * inv_std * x_dot", _JVP
        ),
        "tangent-gamma-missing": Page(
            "A direction that moves x alone does not show it.", "y_dot = gamma * inv_std * (x_dot - ...)", _JVP
        ),
        "second-order-zero": Page(
            _SECOND, "dx = backward(dy.detach())  # a constant to autograd", _DOUBLE, _SECOND_ISSUES
        ),
        "second-order-doubled": Page(_SECOND, "return 2 * ddx", "return ddx", _SECOND_ISSUES),
        "second-order-std-constant": Page(
            _SECOND, "context.save_for_backward(x, mean, inv_std)  # inv_std as data", _DOUBLE, _SECOND_ISSUES
        ),
        "second-order-xhat-constant": Page(
            _SECOND, "context.save_for_backward(xhat, inv_std)  # xhat as data", _DOUBLE, _SECOND_ISSUES
        ),
        "second-order-sums-constant": Page(
            _SECOND, "mean_dxhat = dxhat.mean(axis).detach()", "mean_dxhat = dxhat.mean(axis)", _SECOND_ISSUES
        ),
        "second-order-gamma-constant": Page(
            _SECOND, "dxhat = dy * gamma.detach()", "dxhat = dy * gamma", _SECOND_ISSUES
        ),
        "mutates-input": Page(
            "The answer is right; what uses x afterwards is not.",
            "x -= x.mean(axis)",
            "centred = x - x.mean(axis)",
            ("Paddle#21065",),
        ),
        "state-changed": Page(
            "One evaluation is right; the next is another.",
            "running_mean += weight * (mean - running_mean)",
            "if training:\n    running_mean += weight * (mean - running_mean)",
            ("aprender#2166", "pytorch#20967"),
        ),
        "dtype-changed": Page(
            "The numbers are right, and better than asked; memory and speed are not.",
            "dx = np.zeros(x.shape)",
            "dx = np.zeros_like(x)",
        ),
    }
)
"""A page for every bug of `bncheck.bugs.mutants.MUTANTS`."""
