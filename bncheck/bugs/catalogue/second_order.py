"""Bugs in the Jacobian-vector product, and in the second order: what a double backward pass computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bncheck.bugs.catalogue.bug import (
    Bug,
    backward,
    equation,
    forward,
    renamed,
    rewritten,
)
from bncheck.bugs.edits import Edit
from bncheck.bugs.expressions import (
    Held,
    Name,
    Reduced,
    minus,
    number,
    plus,
    throughout,
    times,
)
from bncheck.bugs.programs import Program, gradient
from bncheck.bugs.roles import Derived

_X = gradient("x")


def _tangent(derived: Derived, *which: str) -> Iterator[Edit]:
    """The tangents of some statistics left out of ẏ; the gradients are right."""
    program = derived.equations
    labels = [label for name in which for label in getattr(derived, name)]
    if program.layer.primal is not None and all(getattr(derived, name) for name in which):
        held = {label: Held(program.forward[label]) for label in labels}
        yield from _unfelt(forward(program, held, own=False), program)


def _parameter(derived: Derived) -> Iterator[Edit]:
    program = derived.equations
    if program.layer.primal is not None:
        names = {name: Held(Name(name)) for name in derived.scale}
        yield from _unfelt(forward(program, renamed(program, names), own=False), program)


def _unfelt(edits: Iterator[Edit], right: Program) -> Iterator[Edit]:
    for edit in edits:
        yield replace(edit, program=replace(edit.program, saved=right.saved))


def _second(derived: Derived, change: str) -> Iterator[Edit]:
    """The second order of what is computed for dx and dγ, and none of their value."""
    program = derived.closed
    if program.layer.primal is not None:
        labels = [_X, *map(gradient, derived.scale)]
        changed = dict(program.backward)
        for label in labels:
            held = Held(changed[label])
            changed[label] = held if change == "zero" else plus(times(number(2), changed[label]), minus(held))
        yield from rewritten(program, changed, _X)


def _still(derived: Derived, which: str) -> Iterator[Edit]:
    """What was saved taken for a constant in dx."""
    program = derived.closed
    if program.layer.primal is None or (which != "scale" and not derived.statistics):
        return
    if which == "sums":
        expression = throughout(program.backward[_X], lambda node: Held(node) if isinstance(node, Reduced) else None)
        yield from equation(program, _X, expression)
        return
    roots = [name for name in program.forward if name.startswith(("inv_std", "std")) and name not in program.own.state]
    labels = {"root": roots, "normalised": [derived.normalised], "scale": list(derived.scale)}[which]
    parameters = {gradient(name) for name in program.parameters}
    steps = [label for label in program.backward if label not in parameters]
    yield from backward(program, {label: Held(Name(label)) for label in labels}, steps=steps)


BUGS = (
    Bug(
        "tangent-mean-missing",
        "the tangent of the mean is missing in ẏ",
        "Subtract mean ẋ: the mean moves with x.",
        hides="A direction of mean zero does not show it.",
        wrong="y_dot = gamma * inv_std * (x_dot - xhat * (x_dot * xhat).mean(axis))",
        right=(
            "y_dot = gamma_dot * xhat + gamma * inv_std * (x_dot - x_dot.mean(axis) - xhat * (x_dot * xhat).mean(axis))"
        ),
        plant=lambda derived: _tangent(derived, "centring"),
    ),
    Bug(
        "tangent-variance-missing",
        "the tangent of the variance is missing in ẏ",
        "Subtract x̂·mean(ẋ·x̂): the variance moves with x.",
        hides="A direction that x̂ is orthogonal to does not show it.",
        wrong="y_dot = gamma * inv_std * (x_dot - x_dot.mean(axis))",
        right=(
            "y_dot = gamma_dot * xhat + gamma * inv_std * (x_dot - x_dot.mean(axis) - xhat * (x_dot * xhat).mean(axis))"
        ),
        plant=lambda derived: _tangent(derived, "spread"),
    ),
    Bug(
        "tangent-statistics-constant",
        "mean and variance are taken for constants in ẏ",
        "Push the tangent through both statistics.",
        hides="The gradients of reverse mode are right.",
        wrong="y_dot = gamma * inv_std * x_dot",
        right=(
            "y_dot = gamma_dot * xhat + gamma * inv_std * (x_dot - x_dot.mean(axis) - xhat * (x_dot * xhat).mean(axis))"
        ),
        plant=lambda derived: _tangent(derived, "centring", "spread"),
    ),
    Bug(
        "tangent-gamma-missing",
        "the tangent of gamma is missing in ẏ",
        "Add γ̇·x̂: y is a product.",
        hides="A direction that moves x alone does not show it.",
        wrong="y_dot = gamma * inv_std * (x_dot - ...)",
        right=(
            "y_dot = gamma_dot * xhat + gamma * inv_std * (x_dot - x_dot.mean(axis) - xhat * (x_dot * xhat).mean(axis))"
        ),
        plant=_parameter,
    ),
    Bug(
        "second-order-zero",
        "the second order is zero: the backward pass cannot be differentiated",
        "Build the backward pass from differentiable operations, or give it a backward pass of its own.",
        hides="A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it.",
        wrong="dx = backward(dy.detach())  # a constant to autograd",
        right="def double_backward(ddx): ...  # vjp of the backward pass, through inv_std, xhat and the sums",
        seen=(
            "pytorch#2277",
            "pytorch#186256",
        ),
        plant=partial(_second, change="zero"),
    ),
    Bug(
        "second-order-doubled",
        "the second order is twice as large",
        "Each pair of factors occurs once: differentiate the product, do not square it.",
        hides="A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it.",
        wrong="return 2 * ddx",
        right="return ddx",
        seen=(
            "pytorch#2277",
            "pytorch#186256",
        ),
        plant=partial(_second, change="doubled"),
    ),
    Bug(
        "second-order-std-constant",
        "the second order takes 1/s for a constant",
        "Differentiate the saved inv_std too: it depends on x.",
        hides="A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it.",
        wrong="context.save_for_backward(x, mean, inv_std)  # inv_std as data",
        right="def double_backward(ddx): ...  # vjp of the backward pass, through inv_std, xhat and the sums",
        seen=(
            "pytorch#2277",
            "pytorch#186256",
        ),
        plant=partial(_still, which="root"),
    ),
    Bug(
        "second-order-xhat-constant",
        "the second order takes the saved x̂ for a constant",
        "Differentiate the saved x̂ too: it depends on x.",
        hides="A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it.",
        wrong="context.save_for_backward(xhat, inv_std)  # xhat as data",
        right="def double_backward(ddx): ...  # vjp of the backward pass, through inv_std, xhat and the sums",
        seen=(
            "pytorch#2277",
            "pytorch#186256",
        ),
        plant=partial(_still, which="normalised"),
    ),
    Bug(
        "second-order-sums-constant",
        "the second order takes the group's sums for constants",
        "Differentiate the sums of the backward pass too.",
        hides="A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it.",
        wrong="mean_dxhat = dxhat.mean(axis).detach()",
        right="mean_dxhat = dxhat.mean(axis)",
        seen=(
            "pytorch#2277",
            "pytorch#186256",
        ),
        plant=partial(_still, which="sums"),
    ),
    Bug(
        "second-order-gamma-constant",
        "the second order takes gamma for a constant",
        "Differentiate dx̂ = γ·dy with respect to γ as well.",
        hides="A gradgradcheck of a wrong first order agrees with itself; a first-order check does not look at it.",
        wrong="dxhat = dy * gamma.detach()",
        right="dxhat = dy * gamma",
        seen=(
            "pytorch#2277",
            "pytorch#186256",
        ),
        plant=partial(_still, which="scale"),
    ),
)
