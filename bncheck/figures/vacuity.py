"""How many planted bugs a gradient check can see: against the batch size, and against what the loss is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Enclosure, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, scientific
from bncheck.layers import LAYERS
from bncheck.oracles import graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.bugs.catalogue.bug import Bug
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("A test that cannot fail proves nothing", "不会失败的测试什么也证明不了"),
    reading=Words(
        "With one value in a group, or with the sum of y as the loss, about half of all wrong gradients pass, at any"
        " tolerance; random weights and a random γ let none through.",
        "组内只有一个值，或以 y 之和为损失时，无论容差如何，约一半错误梯度都能通过；随机权重加随机 γ 则无一放过。",
    ),
    caption=Words(
        "26 planted bugs in dx, dγ and dβ; w random; float64, 5 groups, 6 cases each.",
        "dx、dγ 和 dβ 中植入的 26 个错误；权重 w 随机；float64，5 组，每点 6 个随机样例。",
    ),
)

SIZES = (1, 2, 3, 4, 8, 16, 32)
"""Values in a group."""

COUNT, GROUPS, CASES = 8, 5, 6
"""Values in a group where the test varies, groups, as many as no group has values, and cases."""

Upstream = Callable[[Array, np.random.Generator], Array]
"""A loss, as dy from y."""


class Test(NamedTuple):
    """A loss, in words and as dy, and whether γ and β are drawn; otherwise they are 1 and 0, as in a fresh layer."""

    loss: str
    upstream: Upstream
    drawn: bool


TESTS = (
    Test(r"$\sum y$", lambda y, rng: np.ones_like(y), False),
    Test(r"$\sum y^2$", lambda y, rng: 2 * y, False),
    Test(r"$\sum w\,y$", lambda y, rng: rng.normal(size=y.shape), False),
    Test(r"$\sum w\,y$", lambda y, rng: rng.normal(size=y.shape), True),
)
"""From the usual to the best: the weights w are random."""

RTOL, ATOL = 1e-3, 1e-5
"""The usual tolerance: the defaults of `torch.autograd.gradcheck`."""

ROLES = ("with", "without")

RANDOM = r"$\sum w\,y$"


class Caught(NamedTuple):
    """The share of planted bugs, in percent, seen with the computed tolerance and with a usual one."""

    computed: float
    usual: float


def caught(seed: int, count: int, test: Test) -> Caught:
    """What a test sees on random cases with `count` values in a group."""
    rng = np.random.default_rng([seed, count])
    return Caught(*np.mean([_caught(given(rng, count, test)) for _ in range(CASES)], axis=0).tolist())


def given(rng: np.random.Generator, count: int, test: Test) -> Case:
    """One input of a test."""
    x = rng.normal(size=(count, GROUPS))
    gamma, beta = rng.normal(size=(2, GROUPS)) if test.drawn else (np.ones(GROUPS), np.zeros(GROUPS))
    parameters = {"gamma": gamma, "beta": beta}
    layout = Layout("NC", "N", "C")
    y = graph.sweep(LAYERS["batch_norm"], Case(layout, x, np.zeros_like(x), parameters)).value("y")
    return Case(layout, x, test.upstream(y, rng), parameters)


def planted(case: Case) -> dict[str, Bug]:
    """The bugs of the backward pass alone, what a gradient check is for: those of a case with several values."""
    from bncheck.bugs.planting import bugs_of, touched

    layer = LAYERS["batch_norm"]
    several = given(np.random.default_rng(0), COUNT, TESTS[-1])
    of_layer = replace(several, parameters={name: several.parameters[name] for name in case.parameters})
    return {name: bug for name, bug in bugs_of(layer, of_layer).items() if "y" not in touched(layer, of_layer)[name]}


def _distance(truth: Enclosure, got: Array) -> Array:
    """How far an answer is off; one of another shape is off altogether."""
    return truth.distance(got) if got.shape == truth.value.shape else np.full(truth.value.shape, np.inf)


def _caught(case: Case) -> tuple[float, float]:
    from bncheck.tolerances.bounds import computed_truth, tolerance

    layer = LAYERS["batch_norm"]
    truth = computed_truth(layer, case)
    allowed = {name: known.radius for name, known in tolerance(layer, case).items()}
    usual = {name: ATOL + RTOL * np.abs(known.value) for name, known in truth.items()}
    errors = [
        {name: _distance(truth[name], got) for name, got in bug.vjp(case).items()} for bug in planted(case).values()
    ]
    seen = [
        [not all((error[name] <= limit[name] + truth[name].radius).all() for name in error) for error in errors]
        for limit in (allowed, usual)
    ]
    return 100 * float(np.mean(seen[0])), 100 * float(np.mean(seen[1]))


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        left, right = page.subplots(1, 2, sharey=True, width_ratios=(4, 5))
        _sizes(left, look, [caught(seed, count, TESTS[-1]) for count in SIZES])
        _tests(right, look, [caught(seed, COUNT, test) for test in TESTS])
        left.set_ylabel(look.say("planted bugs caught, %", "抓到的植入错误，%"))
        page.key(left)
    return page


def _sizes(axes: Axes, look: Look, shares: list[Caught]) -> None:
    places = range(len(SIZES))
    for role, said, values in zip(ROLES, _names(look), zip(*shares, strict=True), strict=True):
        axes.plot(places, values, **look.marked(role, label=said, ms=6 * look.scale, zorder=3))
    axes.set_xticks(places, [f"{count}" for count in SIZES])
    axes.set(ylim=(0, 114), yticks=[0, 50, 100], xlim=(-0.5, len(SIZES) - 0.5))
    axes.set_xlabel(look.say("values in a group $m$", "组内值的个数 $m$"))
    axes.set_title(look.say(rf"loss {TESTS[-1].loss}, $\gamma$ random", rf"损失 {TESTS[-1].loss}，$\gamma$ 随机"))


def _tests(axes: Axes, look: Look, shares: list[Caught]) -> None:
    for k, (role, values) in enumerate(zip(ROLES, zip(*shares, strict=True), strict=True)):
        for place, share in enumerate(values):
            x = place + (k - 0.5) * 0.4
            axes.bar(x, share, 0.36, **look.area(role, linewidth=0.8 * look.scale))
            axes.text(x, share + 3, f"{share:.0f}", ha="center", weight="bold")
    fresh, drawn = r"$\gamma = 1$", look.say(r"$\gamma$ random", r"$\gamma$ 随机")
    axes.set_xticks(range(len(TESTS)), [f"{test.loss}\n{drawn if test.drawn else fresh}" for test in TESTS])
    axes.set_title(f"$m = {COUNT}$")


def _names(look: Look) -> tuple[str, str]:
    return (
        look.say("computed tolerance", "计算得到的容差"),
        look.say(f"relative tolerance {scientific(RTOL)}", f"相对容差 {scientific(RTOL)}"),
    )
