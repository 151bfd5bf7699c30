"""Bugs in the modes: training and evaluation exchanged, and the step that running statistics make."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    equation,
    forward,
    renamed,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    ONE,
    ZERO,
    Expression,
    Name,
    Reduced,
    minus,
    plus,
    power,
    times,
)
from bncheck.bugs.programs import gradient
from bncheck.bugs.roles import Derived

_RUNNING = ("running_mean", "running_var")
_X = gradient("x")


def _formula(derived: Derived) -> Iterator[Edit]:
    """The paths through statistics that are constants."""
    program = derived.closed
    if not derived.statistics and program.own.state and derived.normalised:
        direct, hat = program.backward[_X], Name(derived.normalised)
        reduced = program.layout.reduced
        mean = Reduced(direct, reduced, mean=True)
        inner = Reduced(times(direct, hat), reduced, mean=True)
        yield from equation(program, _X, plus(direct, minus(mean), minus(times(hat, inner))))


def _of_the_batch(derived: Derived) -> Iterator[Edit]:
    program = derived.equations
    if not derived.statistics and set(_RUNNING) <= set(program.own.state):
        mean = Reduced(Name("x"), program.layout.reduced, mean=True)
        var = Reduced(power(plus(Name("x"), minus(mean)), 2), program.layout.reduced, mean=True)
        yield from forward(
            program, renamed(program, {"running_mean": mean, "running_var": var}), shown=derived.normalised
        )


def _running(derived: Derived) -> Iterator[Edit]:
    program = derived.equations
    if derived.statistics and set(_RUNNING) <= set(program.own.state):
        names = dict(zip(("mean", "var"), map(Name, _RUNNING), strict=True))
        yield from forward(program, renamed(program, names, steps=[derived.normalised]))


def _step(derived: Derived, names: dict[str, Expression], only: str = "new_") -> Iterator[Edit]:
    """The step of the running statistics with other settings."""
    program = derived.stages
    if names.keys() <= program.own.settings.keys():
        labels = [f"new_{name}" for name in program.own.state if f"new_{name}".startswith(only)]
        divisors = {n: e for n, e in program.forward.items() if "ddof" in e.names and n not in labels}
        changed = renamed(program, names, steps=[*labels, *(divisors if "ddof" in names else ())])
        yield from forward(program, changed, own=False)


def _kept(derived: Derived) -> Iterator[Edit]:
    program = derived.stages
    if derived.statistics:
        yield from forward(
            program, {f"new_{n}": Name(n) for n in program.own.state if f"new_{n}" in program.forward}, own=False
        )


_WEIGHT = Name("new_weight")


BUGS = (
    Bug(
        "eval-uses-batch-formula",
        "the backward pass of training, where the statistics are constants",
        "With running statistics dx = dx̂/s: nothing else depends on x.",
        hides="A check in training mode does not see it; frozen layers do.",
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        right="dx = dy * gamma / np.sqrt(running_var + eps)",
        seen=(
            "pytorch/xla#913",
            "keras#9965",
            "matconvnet#1174",
        ),
        plant=_formula,
    ),
    Bug(
        "eval-uses-batch-statistics",
        "the statistics of the batch, where the running ones are due",
        "In evaluation mode normalize with the running statistics.",
        hides="On large batches like those of training the two nearly agree.",
        wrong="mean, var = x.mean(axis), x.var(axis)",
        right="mean, var = running_mean, running_var",
        seen=(
            "pytorch/xla#913",
            "keras#9965",
            "matconvnet#1174",
        ),
        plant=_of_the_batch,
    ),
    Bug(
        "training-uses-running-statistics",
        "the running statistics, where those of the batch are due",
        "In training mode normalize with the statistics of the batch.",
        hides="After long training the two nearly agree.",
        wrong="mean, var = running_mean, running_var",
        right="mean, var = x.mean(axis), x.var(axis)",
        seen=(
            "pytorch/xla#913",
            "keras#9965",
            "matconvnet#1174",
        ),
        plant=_running,
    ),
    Bug(
        "momentum-inverted",
        "the momentum weights the old value where it should weight the new, or the reverse",
        "Swap momentum and 1 − momentum: torch weights the new batch, Keras and ONNX the old value.",
        hides="Training goes on; only evaluation is wrong, and only after a while.",
        wrong="running = (1 - 0.1) * mean + 0.1 * running",
        right="running = 0.1 * mean + (1 - 0.1) * running",
        seen=(
            "d2l-en#2213",
            "tinygrad#807",
        ),
        plant=partial(_step, names={"new_weight": plus(ONE, minus(_WEIGHT))}),
    ),
    Bug(
        "running-only-new-batch",
        "the running statistics are those of the new batch alone",
        "Average with the old value.",
        hides="Training goes on; only evaluation is wrong, and only after a while.",
        wrong="running_mean = mean",
        right="running_mean += weight * (mean - running_mean)",
        plant=partial(_step, names={"new_weight": ONE}),
    ),
    Bug(
        "running-not-updated",
        "the running statistics stay as they are in training",
        "Update them in training mode.",
        hides="Training goes on; only evaluation is wrong, and only after a while.",
        wrong="running_mean + weight * (mean - running_mean)",
        right="running_mean += weight * (mean - running_mean)",
        seen=(
            "aprender#2166",
            "pytorch#20967",
        ),
        plant=_kept,
    ),
    Bug(
        "running-var-unbiased",
        "the running variance averages the unbiased variance, where the population's is due",
        "Average σ² itself, as Keras and ONNX do.",
        hides="In large groups the two nearly agree; with one element it is NaN.",
        wrong="running_var += weight * (var * m / (m - 1) - running_var)",
        right="running_var += weight * (var - running_var)",
        seen=(
            "pytorch#1381",
            "tinygrad#807",
        ),
        plant=partial(_step, names={"ddof": ONE}, only="new_running_var"),
    ),
    Bug(
        "running-var-biased",
        "the running variance averages the population variance, where the unbiased one is due",
        "Average σ²·m/(m − 1), as torch does.",
        hides="In large groups the two nearly agree.",
        wrong="running_var += weight * (var - running_var)",
        right="running_var += weight * (var * m / (m - 1) - running_var)",
        seen=("d2l-en#2213",),
        plant=partial(_step, names={"ddof": ZERO}, only="new_running_var"),
    ),
)
