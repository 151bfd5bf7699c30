"""Bugs in the paths by which x reaches y: directly, through the mean, through the variance."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    backward,
    equation,
    gradients,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    ZERO,
    Expression,
    Power,
    Reduced,
    Sum,
    number,
    over,
    plus,
    power,
    throughout,
    times,
)
from bncheck.bugs.programs import COUNT, gradient, size
from bncheck.bugs.roles import Derived

_X = gradient("x")


def _zero(derived: Derived) -> Iterator[Edit]:
    yield from equation(derived.equations, _X, ZERO)


def _paths(derived: Derived, centring: int | None, spread: int | None) -> Iterator[Edit]:
    """The gradients that come through the statistics, so many times; None leaves a path as it is."""
    asked = {derived.centring: centring, derived.spread: spread}
    if all(labels for labels, factor in asked.items() if factor is not None):
        for program in (derived.equations, derived.stages):
            names = {
                label: expression
                for labels, factor in asked.items()
                if factor is not None
                for label, expression in gradients(labels, partial(times, number(factor))).items()
            }
            yield from backward(program, names, shown=_X)


def _mirrored(derived: Derived) -> Iterator[Edit]:
    yield from _paths(derived, -1 if derived.centring else None, -1)


def _own_sample(derived: Derived) -> Iterator[Edit]:
    for label in map(gradient, derived.centring):
        for program in (derived.equations, derived.stages):
            whole = program.backward[label]
            terms = whole.terms if isinstance(whole, Sum) else (whole,)
            first = next(term for term in terms if throughout(term, _body) != term)
            yield from equation(program, label, plus(*(throughout(t, _body) if t is first else t for t in terms)))


def _body(node: Expression) -> Expression | None:
    return node.body if isinstance(node, Reduced) else None


def _exponent(derived: Derived, *, positive: bool) -> Iterator[Edit]:
    def change(node: Expression) -> Expression | None:
        if isinstance(node, Power) and node.exponent < 0 and node.exponent.numerator != -1:
            if positive:
                return power(node.base, -node.exponent)
            if node.exponent.denominator > 1:
                return over(power(node.base, node.exponent.numerator), number(node.exponent.denominator))
        return None

    for label in map(gradient, derived.spread):
        yield from equation(derived.equations, label, throughout(derived.equations.backward[label], change))


def _count(derived: Derived, other: Expression | None = None) -> Iterator[Edit]:
    """Another divisor for m wherever the backward pass divides."""
    layout = derived.closed.layout
    if derived.statistics:
        several = len(layout.reduced) > 1
        wrong = size(layout.reduced[0]) if several else size(layout.kept)
        for program in (derived.closed, derived.stages, derived.equations):
            yield from backward(program, {COUNT.label: wrong if other is None else other}, shown=_X)


BUGS = (
    Bug(
        "zero",
        "dx is zero",
        "Return the gradient that was computed.",
        hides="Where dy is constant, as in y.sum().backward(), or a group has one element, the true dx is zero.",
        wrong="dx = np.zeros_like(x)",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        plant=_zero,
    ),
    Bug(
        "mean-path-missing",
        "the path through the mean is missing",
        "Subtract the mean of dx̂ over the group: x reaches y through μ as well.",
        hides="For random dy it is 1/√m of dx; where dx̂ has mean zero over a group it is invisible.",
        wrong="dx = inv_std * (dxhat - xhat * (dxhat * xhat).mean(axis))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        plant=partial(_paths, centring=0, spread=None),
    ),
    Bug(
        "variance-path-missing",
        "the path through the variance is missing",
        "Subtract x̂·mean(dx̂·x̂): x reaches y through the variance as well.",
        hides=(
            "Where dy is constant, as in y.sum().backward(), or a group has one element, the true dx is zero. "
            "Fast gradcheck passes it on anything but small arrays."
        ),
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        plant=partial(_paths, centring=None, spread=0),
    ),
    Bug(
        "statistics-constant",
        "mean and variance are taken for constants",
        "Differentiate through μ and σ²: both depend on x.",
        hides="In large groups, for random dy, the missing paths are 1/√m of dx.",
        wrong="dx = dxhat * inv_std",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        seen=(
            "facebookresearch/CrypTen#143",
            "deeplearning4j#8379",
        ),
        plant=partial(_paths, centring=0, spread=0),
    ),
    Bug(
        "mean-path-doubled",
        "the path through the mean is subtracted twice",
        "Subtract the mean of dx̂ once; the term with Σ(x − μ) is zero and adds nothing.",
        hides="For random dy it is 1/√m of dx; where dx̂ has mean zero over a group it is invisible.",
        wrong="dmean = -2 * (dxhat * inv_std).sum(axis)",
        right="dmean = -(dxhat * inv_std).sum(axis)",
        seen=("tt-metal#53204",),
        plant=partial(_paths, centring=2, spread=None),
    ),
    Bug(
        "variance-path-doubled",
        "the path through the variance is subtracted twice: the ½ of the root's slope is lost",
        "The slope of √ is ½ of its inverse; with the 2 of (x − μ)² that makes 1.",
        hides="Where dy is constant, as in y.sum().backward(), or a group has one element, the true dx is zero.",
        wrong="dvar = -(dxhat * (x - mean)).sum(axis) * inv_std**3",
        right="dvar = -0.5 * (dxhat * (x - mean)).sum(axis) * inv_std**3",
        plant=partial(_paths, centring=None, spread=2),
    ),
    Bug(
        "path-sign",
        "the paths through the statistics have the wrong sign",
        "Subtract both: a larger x raises μ and σ², which lowers every x̂.",
        hides="Its shape is right, and its sign in most elements.",
        wrong="dx = inv_std * (dxhat + dxhat.mean(axis) + xhat * (dxhat * xhat).mean(axis))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        plant=_mirrored,
    ),
    Bug(
        "mean-path-own-sample",
        "the path through the mean counts the own sample only, not the whole group",
        "Sum dx̂ over the group before dividing by m.",
        hides="In large groups, where dx̂ has mean zero, what is wrong is 1/m of dx.",
        wrong="dx = inv_std * (dxhat - dxhat / m - xhat * (dxhat * xhat).mean(axis))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        plant=_own_sample,
    ),
    Bug(
        "exponent-wrong",
        "the power −3/2 is written ** -3 / 2: the cube is halved, and no root is taken",
        "Bracket the exponent: (var + eps) ** (-3 / 2), or use inv_std ** 3.",
        hides="Where σ² + ε is near 0.63 the two powers agree.",
        wrong="dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -3 / 2",
        right="dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -1.5",
        plant=partial(_exponent, positive=False),
    ),
    Bug(
        "exponent-sign",
        "the power −3/2 has lost its sign: σ³ for σ⁻³",
        "Divide by the cube of s: (var + eps) ** -1.5.",
        hides="Where σ² + ε = 1, as for data that are standard normal, it is almost invisible.",
        wrong="dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** 1.5",
        right="dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -1.5",
        plant=partial(_exponent, positive=True),
    ),
    Bug(
        "ddof",
        "the backward pass divides by m - 1",
        "Divide by m, as the mean and the population variance do.",
        hides="In large groups m and m - 1 are nearly the same.",
        wrong="dx = inv_std * (dxhat - dxhat.sum(axis) / (m - 1) - xhat * (dxhat * xhat).sum(axis) / (m - 1))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        seen=(
            "pytorch#3122",
            "mlx#3817",
        ),
        plant=partial(_count, other=plus(COUNT, number(-1))),
    ),
    Bug(
        "count-wrong",
        "the backward pass divides by another count than the group's size",
        "Divide by the number of elements that one mean covers: N·H·W for images.",
        hides="Where the sizes coincide, N = C or H·W = 1, it is invisible.",
        wrong="m = x.shape[1]  # C, where N is meant",
        right="m = x.size // x.shape[1]  # N * H * W",
        seen=(
            "Liger-Kernel#1376",
            "pytorch#36382",
            "apex#387",
        ),
        plant=_count,
    ),
)
