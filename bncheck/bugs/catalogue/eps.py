"""Bugs with ε: where it is added, how often, and whether both passes agree on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    backward,
    forward,
    recomputed,
    renamed,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    ZERO,
    Expression,
    Larger,
    Name,
    Power,
    Sum,
    exchanged,
    number,
    plus,
    power,
    throughout,
    times,
)
from bncheck.bugs.programs import Program
from bncheck.bugs.roles import Derived

_EPS = Name("eps")


def _other(derived: Derived, eps: Expression) -> Iterator[Edit]:
    """Another ε, forward and backward."""
    yield from forward(derived.stages, renamed(derived.stages, {"eps": eps}))


def _in_backward(derived: Derived, eps: Expression) -> Iterator[Edit]:
    """Another ε in all that the backward pass computes."""
    for style in ("closed in dx̂", "closed", "written out", "equations", "stages"):
        if style in derived.styles:
            yield from recomputed(derived.styles[style], {"eps": eps})
            program = derived.styles[style]
            yield from backward(program, {"eps": eps})
            yield from _saved_roots(program, eps)


def _saved_roots(program: Program, eps: Expression) -> Iterator[Edit]:
    """Another ε in the roots that the backward pass takes anew; x̂ is the one that was saved."""
    roots = {n: exchanged(e, {"eps": eps}) for n, e in program.forward.items() if "eps" in e.names}
    small = {n: e for n, e in roots.items() if set(program.axes[n]) != set(program.layout.axes)}
    inverses = {n: exchanged(e, small) for n, e in program.forward.items() if n not in small and e.names & small.keys()}
    inverses = {n: e for n, e in inverses.items() if set(program.axes[n]) != set(program.layout.axes)}
    yield from backward(program, {**small, **inverses})


def _root(derived: Derived, change: str, *, own: bool = True) -> Iterator[Edit]:
    """The root of a statistic and ε taken otherwise."""

    def written(node: Expression) -> Expression | None:
        if not isinstance(node, Power) or node.exponent.denominator == 1 or not isinstance(node.base, Sum):
            return None
        if _EPS not in node.base.terms:
            return None
        rest = plus(*(term for term in node.base.terms if term != _EPS))
        sign, exponent = (1 if node.exponent > 0 else -1), abs(node.exponent)
        if change == "outside":
            return power(plus(power(rest, exponent), _EPS), sign)
        if change == "twice":
            return power(plus(power(node.base, exponent), _EPS), sign)
        if change == "larger":
            return Power(Larger(rest, _EPS), node.exponent)
        return power(node.base, sign)

    others = tuple(derived.styles.values())[::-1] if derived.statistics else ()
    programs = (derived.stages,) if own else others
    for program in programs:
        steps = {label: throughout(expression, written) for label, expression in program.forward.items()}
        yield from forward(program, steps, own=own)
        if not own:
            for edit in forward(program, steps, own=False):
                yield replace(edit, program=replace(edit.program, saved=program.saved))


def _deviation(derived: Derived) -> Iterator[Edit]:
    program = derived.stages
    yield from forward(program, {name: power(program.forward[name], Fraction(1, 2)) for name in derived.spread})
    if not derived.statistics:
        names = {name: power(Name(name), Fraction(1, 2)) for name in program.own.state if name.endswith("var")}
        yield from forward(program, renamed(program, names))


BUGS = (
    Bug(
        "eps-missing-in-backward",
        "the backward pass leaves eps out",
        "Use the inv_std of the forward pass, with eps, in the backward pass too.",
        hides="Where σ² is much larger than ε, it shifts dx by less than gradcheck's tolerance of 1e-3.",
        wrong="inv_std = 1 / np.sqrt(var)",
        right="inv_std = 1 / np.sqrt(var + eps)",
        seen=(
            "keras#10427",
            "ncnn#311",
            "chainer#4505",
            "chainer#4191",
        ),
        plant=partial(_in_backward, eps=ZERO),
    ),
    Bug(
        "eps-mismatch",
        "the backward pass uses another eps than the forward pass",
        "Hand eps, or better inv_std, from the forward to the backward pass.",
        hides="Where σ² is much larger than ε, it shifts dx by less than gradcheck's tolerance of 1e-3.",
        wrong="def backward(dy, cache, eps=1e-6): ...",
        right="x, mean, inv_std, gamma = cache",
        seen=(
            "keras#10427",
            "ncnn#311",
            "chainer#4505",
            "chainer#4191",
        ),
        plant=partial(_in_backward, eps=times(number(Fraction(1, 10)), _EPS)),
    ),
    Bug(
        "eps-outside-sqrt",
        "eps is added to the standard deviation, outside the root",
        "Add eps to the variance, then take the root.",
        hides=(
            "A check of the backward pass against its own forward pass agrees with itself: compare y with the "
            "definition."
        ),
        wrong="xhat = (x - mean) / (np.sqrt(var) + eps)",
        right="xhat = (x - mean) / np.sqrt(var + eps)",
        seen=(
            "keras#10427",
            "ncnn#311",
            "chainer#4505",
            "chainer#4191",
        ),
        plant=partial(_root, change="outside"),
    ),
    Bug(
        "eps-twice",
        "eps is added twice, inside the root and outside",
        "Add eps once, to the variance.",
        hides=(
            "A check of the backward pass against its own forward pass agrees with itself: compare y with the "
            "definition."
        ),
        wrong="xhat = (x - mean) / (np.sqrt(var + eps) + eps)",
        right="xhat = (x - mean) / np.sqrt(var + eps)",
        seen=(
            "keras#10427",
            "ncnn#311",
            "chainer#4505",
            "chainer#4191",
        ),
        plant=partial(_root, change="twice"),
    ),
    Bug(
        "eps-missing",
        "eps is left out",
        "Add eps to the variance.",
        hides="Only a group without variance shows it, and there as NaN.",
        wrong="xhat = (x - mean) / np.sqrt(var)",
        right="xhat = (x - mean) / np.sqrt(var + eps)",
        seen=(
            "keras#2960",
            "pytorch#4320",
        ),
        plant=partial(_other, eps=ZERO),
    ),
    Bug(
        "eps-ignored",
        "another eps is used than the one that was given, forward and backward",
        "Hand the caller's eps through; write no constant in its place.",
        hides="Where σ² is much larger than ε, it shifts dx by less than gradcheck's tolerance of 1e-3.",
        wrong="inv_std = 1 / np.sqrt(var + 1e-5)",
        right="inv_std = 1 / np.sqrt(var + eps)",
        seen=(
            "keras#10427",
            "ncnn#311",
            "chainer#4505",
            "chainer#4191",
        ),
        plant=partial(_other, eps=times(number(10), _EPS)),
    ),
    Bug(
        "eps-outside-in-forward-only",
        "eps is added outside the root, and the backward pass is that of eps inside",
        "Add eps to the variance; or differentiate √σ² + ε: its slope is 1/(2·√σ²), not 1/(2·s).",
        hides="Where σ² is much larger than ε, it shifts dx by less than gradcheck's tolerance of 1e-3.",
        wrong=(
            "std = np.sqrt(var) + eps\n"
            "inv_std = 1 / std\n"
            "dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))"
        ),
        right=(
            "std = np.sqrt(var + eps)\n"
            "inv_std = 1 / std\n"
            "dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))"
        ),
        seen=(
            "keras#10427",
            "ncnn#311",
            "chainer#4505",
            "chainer#4191",
        ),
        plant=partial(_root, change="outside", own=False),
    ),
    Bug(
        "max-for-plus",
        "the variance is clamped at eps, not raised by it",
        "Add eps to the variance: √(var + eps).",
        hides="Where σ² is much larger than ε the two agree.",
        wrong="std = np.sqrt(np.maximum(var, eps))",
        right="std = np.sqrt(var + eps)",
        seen=(
            "Synchronized-BatchNorm-PyTorch#43",
            "jax#443",
        ),
        plant=partial(_root, change="larger"),
    ),
    Bug(
        "var-for-std",
        "divides by the variance: the root is missing",
        "Divide by √(var + eps).",
        hides="Where σ² is near 1 the two agree.",
        wrong="xhat = (x - mean) / (var + eps)",
        right="xhat = (x - mean) / np.sqrt(var + eps)",
        seen=(
            "Synchronized-BatchNorm-PyTorch#43",
            "jax#443",
        ),
        plant=partial(_root, change="square"),
    ),
    Bug(
        "std-for-var",
        "the standard deviation is kept where the variance is meant",
        "Keep the variance; take its root once, with eps.",
        hides="Where σ² is near 1 the two agree.",
        wrong="var = x.std(axis)",
        right="var = x.var(axis)",
        seen=(
            "Synchronized-BatchNorm-PyTorch#43",
            "jax#443",
        ),
        plant=_deviation,
    ),
)
