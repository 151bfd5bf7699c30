"""Bugs in the statistics: their divisor, the axes that they are taken over, and what arrives at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    backward,
    forward,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    ZERO,
    Expression,
    Name,
    Reduced,
    exchanged,
    minus,
    number,
    over,
    plus,
    power,
    throughout,
    times,
)
from bncheck.bugs.programs import COUNT, arriving, size
from bncheck.bugs.roles import Derived


def _unbiased(derived: Derived, *, own: bool) -> Iterator[Edit]:
    """The variance divided by m − 1."""
    gain = over(COUNT, plus(COUNT, number(-1)))
    for program in (derived.stages,) if own else tuple(derived.styles.values())[::-1]:
        steps = {name: times(gain, program.forward[name]) for name in derived.spread}
        yield from forward(program, steps, own=own)
        if not own:
            for edit in forward(program, steps, own=False):
                yield replace(edit, program=replace(edit.program, saved=program.saved))


def _one_pass(derived: Derived) -> Iterator[Edit]:
    """The same number in exact arithmetic."""
    program = derived.stages
    for name in derived.spread:
        square = program.forward[name]
        if derived.centring and isinstance(square, Reduced) and getattr(square.body, "exponent", 0) == 2:
            (mean,) = derived.centring
            other = plus(replace(square, body=power(Name("x"), 2)), minus(power(Name(mean), 2)))
            yield from forward(program, {name: other})


def _over(derived: Derived, axes: str) -> Iterator[Edit]:
    """The statistics over other axes, where these are others."""
    program = derived.stages
    layout = program.layout
    kept, own = layout.kept, layout.reduced
    letters = {
        "first": own[:1] if len(own) > 1 else "",
        "swapped": kept[:1] + own[1:] if kept else "",
        "swapped-last": own[:-1] + kept[:1] if len(own) > 1 and "N" in own else "",
        "batch": "N" + own if "N" in kept else "",
        "everything": layout.axes if "N" in own and kept else "",
    }[axes]
    wanted = "".join(axis for axis in layout.axes if axis in letters)
    if wanted and wanted != own and derived.statistics:

        def change(node: Expression) -> Expression | None:
            if not (isinstance(node, Reduced) and node.mean):
                return None
            return Reduced(throughout(node.body, change), wanted, mean=True)

        steps = {label: throughout(expression, change) for label, expression in program.forward.items()}
        yield from forward(program, {n: exchanged(e, {COUNT.label: size(wanted)}) for n, e in steps.items()})


def _ignored(derived: Derived, which: str) -> Iterator[Edit]:
    """What arrives at a statistic from outside dropped."""
    labels = getattr(derived, which)
    outputs = [name for name in labels if name in derived.equations.own.outputs]
    for program in (derived.equations, derived.stages, derived.closed):
        yield from backward(program, {arriving(name): ZERO for name in outputs})


BUGS = (
    Bug(
        "ddof-forward",
        "the forward pass normalizes with the unbiased variance",
        "Divide by m: var(unbiased=False), ddof=0. Only the running variance is unbiased, in some frameworks.",
        hides=(
            "In large groups m and m - 1 are nearly the same. A check of the backward pass against its own "
            "forward pass agrees with itself: compare y with the definition."
        ),
        wrong="var = x.var(axis, ddof=1)",
        right="var = x.var(axis)",
        seen=(
            "pytorch#3122",
            "mlx#3817",
        ),
        plant=partial(_unbiased, own=True),
    ),
    Bug(
        "ddof-in-forward-only",
        "the forward pass divides by the unbiased variance, and the backward pass is that of the population's",
        "Divide by m in the variance: var(unbiased=False), ddof=0.",
        hides="In large groups m and m - 1 are nearly the same.",
        wrong="var = x.var(axis, ddof=1)\ndx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        right="var = x.var(axis)\ndx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        seen=(
            "pytorch#3122",
            "mlx#3817",
        ),
        plant=partial(_unbiased, own=False),
    ),
    Bug(
        "one-pass-variance",
        "the variance is taken as E[x²] − E[x]², which cancels where the mean is large",
        "Centre first: the mean of (x − μ)². Or use Welford's update.",
        hides="Near zero it is exact. In float32 at mean 1000 it is off by 40 %, and may be negative: then y is NaN.",
        wrong="var = (x * x).mean(axis) - x.mean(axis) ** 2",
        right="var = ((x - x.mean(axis)) ** 2).mean(axis)",
        seen=(
            "flax#1491",
            "equinox#314",
            "burn#5607",
        ),
        plant=_one_pass,
        effect="rounding",
    ),
    Bug(
        "axis-wrong",
        "the statistics are taken over the wrong axis",
        "Reduce the layout's own axes: N, H and W for batch norm on images.",
        hides=(
            "A check of the backward pass against its own forward pass agrees with itself: compare y with the "
            "definition. Where the sizes coincide, the shapes do not tell."
        ),
        wrong="mean, var = x.mean(1), x.var(1)",
        right="mean, var = x.mean(0), x.var(0)",
        seen=(
            "keras#1921",
            "NumPyNet#7",
            "fastembed#682",
        ),
        plant=partial(_over, axes="swapped"),
    ),
    Bug(
        "layout-wrong",
        "the channel axis is taken for the last, or the last for the channel: NHWC for NCHW",
        "Reduce every axis but the one of the channels.",
        hides=(
            "A check of the backward pass against its own forward pass agrees with itself: compare y with the "
            "definition."
        ),
        wrong="mean, var = x.mean((0, 1)), x.var((0, 1))  # x is NCL",
        right="mean, var = x.mean((0, 2)), x.var((0, 2))",
        seen=(
            "keras#1921",
            "NumPyNet#7",
            "fastembed#682",
        ),
        plant=partial(_over, axes="swapped-last"),
    ),
    Bug(
        "per-activation",
        "the statistics are taken over the first axis alone, for every activation",
        "Reduce the other axes as well: a channel has one mean.",
        hides=(
            "Where the sizes coincide, N = C or H·W = 1, it is invisible. A check of the backward pass against "
            "its own forward pass agrees with itself: compare y with the definition."
        ),
        wrong="mean, var = x.mean(0), x.var(0)  # x is NCL",
        right="mean, var = x.mean((0, 2)), x.var((0, 2))",
        seen=(
            "keras#1921",
            "NumPyNet#7",
            "fastembed#682",
        ),
        plant=partial(_over, axes="first"),
    ),
    Bug(
        "statistics-over-everything",
        "one mean and one variance for the whole array",
        "Keep the axis of the channels.",
        hides=(
            "With one channel it is invisible. A check of the backward pass against its own forward pass agrees "
            "with itself: compare y with the definition."
        ),
        wrong="mean, var = x.mean(), x.var()",
        right="mean, var = x.mean(axis), x.var(axis)",
        seen=(
            "keras#1921",
            "NumPyNet#7",
            "fastembed#682",
        ),
        plant=partial(_over, axes="everything"),
    ),
    Bug(
        "batch-axis-reduced",
        "the statistics are taken over the samples as well",
        "Keep the axis of the samples: each has statistics of its own.",
        hides=(
            "With one sample it is invisible. A check of the backward pass against its own forward pass agrees "
            "with itself: compare y with the definition."
        ),
        wrong="mean, var = x.mean(), x.var()",
        right="mean, var = x.mean(-1), x.var(-1)",
        seen=(
            "keras#1921",
            "NumPyNet#7",
            "fastembed#682",
        ),
        plant=partial(_over, axes="batch"),
    ),
    Bug(
        "mean-gradient-ignored",
        "the gradient that arrives at the returned mean is dropped",
        "Add what arrives at the mean to dμ.",
        hides="A loss that uses y alone does not show it.",
        wrong="dmean = -(dxhat * inv_std).sum(axis)",
        right="dmean = dmean_out - (dxhat * inv_std).sum(axis)",
        plant=partial(_ignored, which="centring"),
    ),
    Bug(
        "var-gradient-ignored",
        "the gradient that arrives at the returned variance is dropped",
        "Add what arrives at the variance to dσ².",
        hides="A loss that uses y alone does not show it.",
        wrong="dvar = -0.5 * (dxhat * (x - mean)).sum(axis) * inv_std**3",
        right="dvar = dvar_out - 0.5 * (dxhat * (x - mean)).sum(axis) * inv_std**3",
        plant=partial(_ignored, which="spread"),
    ),
)
