"""How many ulps implementations lose as the mean grows beside the standard deviation, and how many they may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Gradients, Layout
from bncheck.errors import InvalidInput
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.case import Vjp
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("One pass over the data is one too few", "只遍历一次数据是不够的"),
    reading=Words(
        "The variance as mean of squares minus squared mean loses twice the digits, more than the tolerance allows, and"
        " in the end comes out negative; centring first stays within it.",
        "用平方的均值减去均值的平方来算方差会丢失两倍的位数，超出舍入所能解释的范围，最后甚至算出负数；先中心化则不会。",
    ),
    caption=Words(
        "dx in float32, 8 groups of 64 values. Ulp: the spacing of floats at the largest |dx|. Below: the variance in"
        " one pass of each group, in truth 1; of one below −ε the root is not a number.",
        "float32 中批归一化的 dx，8 组，每组 64 个值。ulp：最大 |dx| 处的浮点间距。"
        "下图：一次遍历得到的各组方差，真值为 1；低于 −ε 时，其平方根不是数。",
    ),
)

SHAPE = (64, 8)

THEIRS = ("fourth", "second", "fifth")
"""The looks of frameworks, in the order in which they are named."""

OFFSETS = 10.0 ** np.linspace(0, 5, 26)
"""Means in units of the standard deviation."""


class Accuracy(NamedTuple):
    """For each offset, in ulps: the computed tolerance, and the error of each implementation by name; NaN for NaN."""

    tolerance: Array
    errors: Mapping[str, Array]


def one_pass_variance(x: Array) -> Array:
    """mean(x²) − mean(x)² of each column, as it comes out: below 0, too."""
    mean = x.mean(axis=0)
    return np.asarray((x * x).mean(axis=0) - mean * mean)


def one_pass(case: Case) -> Gradients:
    """The closed form with σ² = mean(x²) − mean(x)², which needs only one look at the data."""
    x, dy = case.x, case.dy
    with np.errstate(invalid="ignore"):  # of a negative variance, which is not hidden
        inv_std = 1 / np.sqrt(one_pass_variance(x) + case.dtype.type(case.eps))
    xhat = (x - x.mean(axis=0)) * inv_std
    return {"dx": inv_std * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))}


def two_pass(case: Case) -> Gradients:
    """bncheck's own compiled closed form."""
    from bncheck.oracles import symbolic

    return symbolic.vjp(LAYERS["batch_norm"], case)


def accuracy(seed: int, implementations: Mapping[str, Callable[[Case], Gradients]]) -> Accuracy:
    """The largest error of dx at each offset, and the largest that its tolerance allows."""
    found: dict[str, list[float]] = {name: [] for name in implementations}
    limits = []
    for case in cases(seed):
        allowed, errors = _measured(case, implementations)
        limits.append(allowed)
        for name, error in errors.items():
            found[name].append(error)
    return Accuracy(np.array(limits), {name: np.array(errors) for name, errors in found.items()})


def cases(seed: int) -> list[Case]:
    """The same deviations around growing means; dy the same throughout."""
    x, dy = np.random.default_rng(seed).normal(size=(2, *SHAPE))
    deviation = (x - x.mean(axis=0)) / x.std(axis=0)
    single = np.dtype(np.float32)
    return [Case(Layout("NC", "N", "C"), (deviation + a).astype(single), dy.astype(single)) for a in OFFSETS]


def _measured(case: Case, implementations: Mapping[str, Callable[[Case], Gradients]]) -> tuple[float, dict[str, float]]:
    from bncheck.tolerances.bounds import computed_truth, tolerance

    layer = LAYERS["batch_norm"]
    truth = computed_truth(layer, case)["dx"]
    ulp = float(np.spacing(np.float32(np.abs(truth.value).max())))
    errors = {name: float(truth.distance(vjp(case)["dx"]).max()) / ulp for name, vjp in implementations.items()}
    return float(tolerance(layer, case)["dx"].radius.max()) / ulp, errors


def of_frameworks(against: Iterable[str]) -> dict[str, Vjp]:
    """How each framework, by its title, finds the gradients of batch norm.

    Raises
        InvalidInput: a framework that is unknown or has no gradients.
        MissingPackage: one that is not installed.
    """
    from bncheck.frameworks import FRAMEWORKS, SUSPECTS, named_frameworks

    against = tuple(against)
    able = {s.framework: s.vjp for s in reversed(SUSPECTS) if s.layer == LAYERS["batch_norm"] and not s.forward_only}
    for name in against:
        if name in FRAMEWORKS and name not in able:
            names = ", ".join(known for known in FRAMEWORKS if known in able)
            raise InvalidInput("against", name, "a framework that has gradients", f"Choose among {names}.")
    return {framework.title: able[framework.name] for framework in named_frameworks(against)}


@figure
def draw(look: Look = Look(), seed: int = 0, *, against: Iterable[str] = ()) -> Page:
    """The figure; with installed frameworks beside, by the names that `bncheck verify --against` knows.

    Raises
        InvalidInput: a framework that is unknown or has no gradients.
        MissingPackage: one that is not installed.
    """
    from bncheck.figures.studio.page import new_page

    others = of_frameworks(against)
    measured = accuracy(seed, {"one": one_pass, "two": two_pass, **others})
    said = {
        "one": look.say("one pass $E[x^2]-E[x]^2$", "一次遍历 $E[x^2]-E[x]^2$"),
        "two": look.say("two passes", "两次遍历"),
    }
    roles = {"one": "wrong", "two": "correct"} | dict(zip(others, THEIRS, strict=False))
    with new_page(ABOUT, look, seed) as page:
        above, below = page.subplots(2, 1, sharex=True, height_ratios=(8, 5))
        _errors(above, look, measured, said, roles)
        _variances(below, look, [one_pass_variance(case.x) for case in cases(seed)])
        above.set(xscale="log", xlim=(OFFSETS[0] / 1.15, OFFSETS[-1] * 1.15))
        for axes in (above, below):
            axes.minorticks_off()
        page.key(above)
    return page


def _errors(axes: Axes, look: Look, measured: Accuracy, said: Mapping[str, str], roles: Mapping[str, str]) -> None:
    """The error of each implementation; at the top the offsets at which one pass gives no number."""
    bottom, top = 0.1, 1e16
    allowed = np.minimum(measured.tolerance, top)
    axes.fill_between(OFFSETS, bottom, allowed, color=look.tint("reference", 0.15), zorder=0)
    axes.plot(OFFSETS, allowed, **look.line("reference", label=look.say("tolerance", "容差")))
    for k, (name, errors) in enumerate(measured.errors.items()):
        style = look.marked(roles[name], label=said.get(name, name), markevery=(k, 3), ms=4.5 * look.scale)
        axes.plot(OFFSETS, np.maximum(errors, bottom), **style)
    wrong = {"weight": "bold", "color": look.colour("wrong")}
    errors = measured.errors["one"]
    k = int(np.argmax(errors > measured.tolerance))
    words = look.say(f"outside from {OFFSETS[k]:.0f} on", f"从 {OFFSETS[k]:.0f} 起超出")
    axes.annotate(words, (OFFSETS[k], errors[k]), **look.beside(-4, 18, ha="center", **wrong))
    lost = OFFSETS[np.isnan(errors)]
    axes.plot(lost, np.full(len(lost), top), **look.points("wrong", ms=4.5 * look.scale, clip_on=False))
    if len(lost):
        words = look.say("not a number", "不是数")
        axes.annotate(words, (lost[0], top), **look.beside(-7, -2, ha="right", **wrong))
    axes.set(yscale="log", ylim=(bottom, top), yticks=[1, 1e5, 1e10, 1e15])
    axes.set_ylabel(look.say("error, ulps", "误差，ulp"))


def _variances(axes: Axes, look: Look, variances: list[Array]) -> None:
    """One pass's variances on a scale that is straight about 0 and logarithmic outside; what is negative is shaded."""
    end = 1e4
    axes.axhspan(-end, 0, **look.area("wrong", zorder=0, alpha=0.35))
    for offset, values in zip(OFFSETS, variances, strict=True):
        axes.plot(np.full(len(values), offset), values, **look.points("wrong", ms=2.6 * look.scale, clip_on=False))
    axes.set_yscale("symlog", linthresh=1)
    axes.set(ylim=(-end, end), yticks=[-100, 0, 100], yticklabels=["−100", "0", "100"])
    words = look.say("below 0", "小于 0")
    axes.text(1.3, -30, words, va="center", weight="bold", color=look.colour("wrong"), **look.on_paper())
    axes.set_xlabel(look.say("mean ÷ standard deviation", "均值 ÷ 标准差"))
    axes.set_ylabel(look.say("variance", "方差"))
