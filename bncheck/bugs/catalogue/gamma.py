"""Bugs with γ in dx, and answers that are those of an earlier step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    backward,
    equation,
    forward,
    renamed,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    ONE,
    Name,
    Reduced,
    exchanged,
    power,
    times,
)
from bncheck.bugs.programs import DY, gradient
from bncheck.bugs.roles import Derived

_X = gradient("x")


def _scaled(derived: Derived, exponent: int) -> Iterator[Edit]:
    """The parameters that multiply, to another power, in the backward pass."""
    names = {name: power(Name(name), exponent) for name in derived.scale}
    for program in (derived.equations, derived.closed, derived.styles.get("closed", derived.stages)):
        parameters = {gradient(name) for name in program.parameters}
        yield from backward(program, names, steps=[label for label in program.backward if label not in parameters])


def _outside(derived: Derived) -> Iterator[Edit]:
    layout = derived.closed.layout
    if set(layout.affine) & set(layout.reduced) and derived.statistics:
        program = derived.styles.get("closed", derived.stages)
        once = times(exchanged(program.backward[_X], dict.fromkeys(derived.scale, ONE)), *map(Name, derived.scale))
        yield from equation(program, _X, once)


def _per_group(derived: Derived) -> Iterator[Edit]:
    program = derived.stages
    inside = "".join(axis for axis in program.layout.affine if axis in program.layout.reduced)
    if inside and derived.scale:
        names = {name: Reduced(Name(name), inside, mean=True) for name in program.parameters}
        yield from forward(program, renamed(program, names))


def _returned(derived: Derived, label: str = "") -> Iterator[Edit]:
    """An earlier gradient handed back as dx."""
    if derived.normalised and (derived.scale or not label):
        program = derived.closed if (label or derived.before) in (DY, *derived.closed.backward) else derived.equations
        yield from equation(program, _X, Name(label or derived.before))


BUGS = (
    Bug(
        "gamma-missing",
        "dx is not multiplied by gamma",
        "Multiply dy by gamma first: dx̂ = γ·dy.",
        hides="Where γ = 1, as after initialization, it is invisible.",
        wrong="dxhat = dy",
        right="dxhat = dy * gamma",
        seen=("Knet.jl#288",),
        plant=partial(_scaled, exponent=0),
    ),
    Bug(
        "gamma-twice",
        "dx is multiplied by gamma twice",
        "Multiply by gamma once.",
        hides="Where γ = 1, as after initialization, it is invisible.",
        wrong="dxhat = dy * gamma\ndx = gamma * inv_std * (dxhat - ...)",
        right="dxhat = dy * gamma\ndx = inv_std * (dxhat - ...)",
        seen=("Megatron-LM#6859",),
        plant=partial(_scaled, exponent=2),
    ),
    Bug(
        "gamma-outside-sum",
        "gamma is pulled out of the group's sums, where it varies",
        "Multiply by gamma inside the sums: it is constant over a group in batch norm alone.",
        hides=(
            "It is right in batch norm, where γ is constant over a group, and is carried over. Where γ = 1, as "
            "after initialization, it is invisible."
        ),
        wrong="dx = gamma * inv_std * (dy - dy.mean(axis) - xhat * (dy * xhat).mean(axis))",
        right="dxhat = dy * gamma\ndx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        plant=_outside,
    ),
    Bug(
        "gamma-per-group",
        "one gamma and beta for a whole group, where every channel has its own",
        "Index γ and β by channel, not by group.",
        hides="With one channel in a group it is invisible. Where γ = 1, as after initialization, it is invisible.",
        wrong="gamma = gamma.reshape(1, groups, 1, 1)",
        right="gamma = gamma.reshape(1, groups, channels // groups, 1)",
        seen=("oneflow#4848",),
        plant=_per_group,
    ),
    Bug(
        "returns-dxhat",
        "dx̂ is returned in place of dx",
        "Go on: divide by s, and subtract the paths through the statistics.",
        hides="Its shape is right, and its sign mostly.",
        wrong="return dxhat, dgamma, dbeta",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))\nreturn dx, dgamma, dbeta",
        plant=_returned,
    ),
    Bug(
        "returns-dy",
        "dy is returned in place of dx",
        "Differentiate the layer.",
        hides="Its shape is right.",
        wrong="return dy, dgamma, dbeta",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))\nreturn dx, dgamma, dbeta",
        plant=partial(_returned, label=DY),
    ),
    Bug(
        "one-element",
        "one element of dx is off by 1e-5 of the largest",
        "Look at that index: a border, an overwritten element, a race.",
        hides="It is below the tolerance of any gradient check that compares with a chosen one.",
        wrong="dx[0, 0] *= 1.00001",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        effect="element",
    ),
)
