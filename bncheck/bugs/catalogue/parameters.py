"""Bugs in dγ and dβ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    backward,
    rewritten,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    Expression,
    Name,
    Reduced,
    over,
    throughout,
)
from bncheck.bugs.programs import DY, gradient, size
from bncheck.bugs.roles import Derived


def _reduced(derived: Derived, how: str) -> Iterator[Edit]:
    """The totals of all parameters' gradients taken otherwise."""
    program = derived.closed
    layout = program.layout
    shared = "".join(axis for axis in layout.axes if axis not in layout.affine)
    if not shared or (how == "samples" and len(shared) < 2):
        return

    def change(node: Expression) -> Expression | None:
        if not isinstance(node, Reduced):
            return None
        if how == "mean":
            return replace(node, mean=True)
        if how == "samples":
            return over(node, size(shared[0]))
        return node.body if how == "none" else replace(node, axes=layout.axes)

    labels = [gradient(name) for name in program.parameters]
    changed = {n: throughout(e, change) if n in labels else e for n, e in program.backward.items()}
    yield from rewritten(program, changed)


def _multiplied(derived: Derived, label: str) -> Iterator[Edit]:
    """dγ from another array than the one that γ multiplies."""
    program = derived.closed
    if derived.normalised and label in ("x", *program.forward):
        yield from backward(program, {derived.normalised: Name(label)}, steps=map(gradient, derived.scale))


def _values(derived: Derived) -> Iterator[Edit]:
    if derived.shift and derived.closed.layer.primal is None:
        yield from backward(derived.closed, {DY: Name("y")}, steps=map(gradient, derived.shift))


BUGS = (
    Bug(
        "reduced-by-mean",
        "dgamma and dbeta are averaged, not summed",
        "Sum over every axis along which γ and β are shared; the loss has done its averaging already.",
        hides="The direction is right; a learning rate hides the size.",
        wrong="dgamma, dbeta = (dy * xhat).mean(shared), dy.mean(shared)",
        right="dgamma, dbeta = (dy * xhat).sum(shared), dy.sum(shared)",
        plant=partial(_reduced, how="mean"),
    ),
    Bug(
        "divided-by-samples",
        "dgamma and dbeta are divided by the number of samples",
        "Leave the division out; the loss has done its averaging already.",
        hides="The direction is right; a learning rate hides the size.",
        wrong=("dgamma = (dy * xhat).sum(shared) / x.shape[0]\ndbeta = dy.sum(shared) / x.shape[0]"),
        right=("dgamma = (dy * xhat).sum(shared)\ndbeta = dy.sum(shared)"),
        plant=partial(_reduced, how="samples"),
    ),
    Bug(
        "not-reduced",
        "dgamma and dbeta are not summed",
        "Sum over every axis along which γ and β are shared.",
        hides="Where γ broadcasts, an update by it broadcasts, too.",
        wrong="dgamma, dbeta = dy * xhat, dy",
        right="dgamma, dbeta = (dy * xhat).sum(shared), dy.sum(shared)",
        plant=partial(_reduced, how="none"),
    ),
    Bug(
        "summed-over-everything",
        "dgamma and dbeta are summed over all axes, to one number",
        "Keep the axes along which γ and β vary.",
        hides="With one channel it is invisible; an update by a number broadcasts.",
        wrong="dgamma, dbeta = (dy * xhat).sum(), dy.sum()",
        right="dgamma, dbeta = (dy * xhat).sum(shared), dy.sum(shared)",
        plant=partial(_reduced, how="all"),
    ),
    Bug(
        "dgamma-not-xhat",
        "dgamma is summed over dy·y",
        "Multiply dy by x̂, which γ multiplies, not by y.",
        hides="Where γ = 1 and β = 0, y is x̂.",
        wrong="dgamma = (dy * y).sum(shared)",
        right="dgamma = (dy * xhat).sum(shared)",
        plant=partial(_multiplied, label="y"),
    ),
    Bug(
        "dgamma-from-x",
        "dgamma is summed over dy·x",
        "Multiply dy by x̂, not by x.",
        hides="Data that are normalized already are x̂.",
        wrong="dgamma = (dy * x).sum(shared)",
        right="dgamma = (dy * xhat).sum(shared)",
        plant=partial(_multiplied, label="x"),
    ),
    Bug(
        "dgamma-from-centred",
        "dgamma is summed over dy·(x − μ): the division by s is missing",
        "Multiply dy by x̂, which is divided by s.",
        hides="Where σ² + ε = 1, x - μ is x̂.",
        wrong="dgamma = (dy * (x - mean)).sum(shared)",
        right="dgamma = (dy * xhat).sum(shared)",
        plant=partial(_multiplied, label="centred"),
    ),
    Bug(
        "dbeta-not-dy",
        "dbeta sums y, not dy",
        "Sum the upstream gradient dy.",
        hides="Its shape is right.",
        wrong="dbeta = y.sum(shared)",
        right="dbeta = dy.sum(shared)",
        plant=_values,
    ),
)
