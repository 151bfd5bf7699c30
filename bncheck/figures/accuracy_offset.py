"""How many ulps implementations lose as the mean grows beside the standard deviation, and how many they may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Gradients, Layout
from bncheck.errors import InvalidInput
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS

if TYPE_CHECKING:
    from bncheck.case import Vjp
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("One pass over the data is one too few", "只遍历一次数据是不够的"),
    reading=Words(
        "The variance as mean of squares minus squared mean loses twice the digits, more than the tolerance allows;"
        " centring first stays within it.",
        "用平方的均值减去均值的平方来算方差会丢失两倍的位数，超出舍入所能解释的范围；先中心化则不会。",
    ),
    caption=Words(
        "dx in float32, 8 groups of 64 values. Ulp: the spacing of floats at the largest |dx|.",
        "float32 中批归一化的 dx，8 组，每组 64 个值。ulp：最大 |dx| 处的浮点间距。",
    ),
)

SHAPE = (64, 8)

THEIRS = ("fourth", "first", "second", "third")
"""The looks of frameworks, in the order in which they are named."""

OFFSETS = 10.0 ** np.linspace(0, 5, 26)
"""Means in units of the standard deviation."""


class Accuracy(NamedTuple):
    """For each offset, in ulps: the computed tolerance, and the error of each implementation by name."""

    tolerance: Array
    errors: Mapping[str, Array]


def one_pass(case: Case) -> Gradients:
    """The closed form with σ² = mean(x²) − mean(x)², which needs only one look at the data."""
    x, dy = case.x, case.dy
    mean = x.mean(axis=0)
    inv_std = 1 / np.sqrt(np.maximum((x * x).mean(axis=0) - mean * mean, 0) + case.dtype.type(case.eps))
    xhat = (x - mean) * inv_std
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


def draw(look: Look = Look(), seed: int = 0, *, against: Iterable[str] = ()) -> Page:
    """The figure; with installed frameworks beside, by the names that `bncheck verify --against` knows.

    Raises
        InvalidInput: a framework that is unknown or has no gradients.
        MissingPackage: one that is not installed.
    """
    from bncheck.figures.studio.page import new_page

    others = of_frameworks(against)
    found = accuracy(seed, {"one": one_pass, "two": two_pass, **others})
    said = {
        "one": look.say("one pass $E[x^2]-E[x]^2$", "一次遍历 $E[x^2]-E[x]^2$"),
        "two": look.say("two passes", "两次遍历"),
    }
    roles = {"one": "wrong", "two": "correct"} | dict(zip(others, THEIRS, strict=False))
    with new_page(ABOUT, look, seed) as page:
        axes = page.subplots()
        bottom = 0.1
        allowed = np.minimum(found.tolerance, 1e15)
        axes.fill_between(OFFSETS, bottom, allowed, color=look.tint("reference", 0.15), zorder=0)
        edge = look.line("reference", label=look.say("tolerance", "容差"))
        axes.plot(OFFSETS, allowed, **edge)
        for k, (name, errors) in enumerate(found.errors.items()):
            style = look.marked(roles[name], label=said.get(name, name), markevery=(k, 3), ms=4.5 * look.scale)
            axes.plot(OFFSETS, np.maximum(errors, bottom), **style)
        axes.set(xscale="log", yscale="log", xlim=(1, OFFSETS[-1]), ylim=(bottom, 1e15), yticks=[1, 1e5, 1e10, 1e15])
        k = int(np.argmax(found.errors["one"] > found.tolerance))
        words = look.say(f"outside from {OFFSETS[k]:.0f} on", f"从 {OFFSETS[k]:.0f} 起超出")
        place = look.beside(-4, 26, ha="center", weight="bold", color=look.colour("wrong"))
        axes.annotate(words, (OFFSETS[k], found.errors["one"][k]), **place)
        axes.set_xlabel(look.say("mean ÷ standard deviation", "均值 ÷ 标准差"))
        axes.set_ylabel(look.say("error, ulps", "误差，ulp"))
        axes.minorticks_off()
        page.key(axes)
    return page
