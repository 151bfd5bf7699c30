"""The code on every page is executed: what is called wrong answers as the planted bug does, what is right as the layer.

A page's lines stand in for those of a plain implementation; the rest is completed. Arrays keep their axes when they are
reduced, and carry a direction as their imaginary part, which `detach` drops: so second orders are executed as well.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug, correct
from bncheck.bugs.diagnose import diagnose
from bncheck.bugs.edits import FORWARD
from bncheck.bugs.planting import touched
from bncheck.case import Array, Case, Gradients
from bncheck.inputs.probes import probes
from bncheck.layers import LAYERS, Layer
from bncheck.tangents import tangent_of

STEP = 1e-20
"""Of a direction: so small that nothing is left of its square."""

BACKWARD = "# in the backward pass"
"""The first line of a page on what the backward pass computes anew; what the forward pass returns is right."""

STATISTICS = """
mean = x.mean(axis)
centred = x - mean
var = (centred**2).mean(axis)
m = x.size // mean.size
"""
GIVEN = """
mean = running_mean
centred = x - mean
var = running_var
m = x.size // mean.size
"""
FORWARD_LINES = """
std = np.sqrt(var + eps)
inv_std = 1 / std
xhat = centred * inv_std
y = gamma * xhat + beta
"""
TANGENT_LINES = """
xhat_dot = inv_std * (x_dot - x_dot.mean(axis) - xhat * (x_dot * xhat).mean(axis))
y_dot = gamma_dot * xhat + gamma * xhat_dot + beta_dot
"""
RUNNING_LINES = """
new_running_mean = running_mean + weight * (mean - running_mean)
new_running_var = running_var + weight * (var * m / (m - ddof) - running_var)
"""
BACKWARD_LINES = """
dgamma = (dy * xhat).sum(shared)
dbeta = dy.sum(shared)
dxhat = dy * gamma
dvar = dvar_out - 0.5 * (dxhat * centred).sum(axis) * inv_std**3
dmean = dmean_out - (dxhat * inv_std).sum(axis)
dx = dxhat * inv_std + dvar * 2 * centred / m + dmean / m
"""
GIVEN_BACKWARD_LINES = """
dgamma = (dy * xhat).sum(shared)
dbeta = dy.sum(shared)
dxhat = dy * gamma
dx = dxhat * inv_std
"""


class Kept(np.ndarray):
    """An array that keeps its axes."""

    def mean(self, axis: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return super().mean(axis=axis, keepdims=True)

    def sum(self, axis: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return super().sum(axis=axis, keepdims=True)

    def var(self, axis: Any = None, ddof: int = 0, **_: Any) -> Any:  # type: ignore[override]
        return super().var(axis=axis, ddof=ddof, keepdims=True)

    def std(self, axis: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return super().std(axis=axis, keepdims=True)

    def detach(self) -> Any:
        """Without its direction."""
        return self.real


def stored(statement: ast.stmt) -> set[str]:
    """The names that a statement gives values."""
    if isinstance(statement, ast.Return):
        return {"dx", "dgamma", "dbeta"}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def reads_itself(statement: ast.stmt) -> bool:
    loaded = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return bool(loaded & stored(statement))


def run(standard: str, page: list[ast.stmt], names: dict[str, Any]) -> None:
    """Runs the standard lines, with a page's in the place of those that give the same names values."""
    lines, waiting = ast.parse(standard).body, list[ast.stmt]()
    for statement in page:
        places = [k for k, line in enumerate(lines) if stored(line) & stored(statement)]
        if not places:  # a name of its own, for the next line of the page
            waiting.append(statement)
            continue
        if isinstance(statement, ast.Return) or reads_itself(statement):
            lines.append(statement)
            continue
        lines[places[0] : places[0] + 1] = [*waiting, statement]
        lines = [
            line
            for k, line in enumerate(lines)
            if line in (*waiting, statement) or not stored(line) <= stored(statement)
        ]
        waiting = []
    with np.errstate(all="ignore"):
        for line in [*lines, *waiting]:
            text = ast.unparse(line)
            exec(text.replace("return ", "dx, dgamma, dbeta = ", 1), names)


def executed(page: str, layer: Layer, case: Case) -> Gradients:
    """What a plain implementation answers with a page's lines in it."""
    names = inputs(layer, case)
    given = bool(layer.state) and "ddof" not in layer.settings
    forward = (GIVEN if given else STATISTICS) + FORWARD_LINES
    forward += (TANGENT_LINES if layer.primal else "") + ("" if given or not layer.state else RUNNING_LINES)
    own = {name for line in ast.parse(forward).body for name in stored(line)}
    lines = ast.parse(page).body
    head, tail = [s for s in lines if stored(s) & own], [s for s in lines if not stored(s) & own]
    again = page.startswith(BACKWARD)
    run(forward, [] if again else head, names)
    results = dict(names)
    if again:
        run(forward, head, names)
    run(GIVEN_BACKWARD_LINES if given else BACKWARD_LINES, tail, names)
    results |= {name: names[name] for name in ("dx", "dgamma", "dbeta")}
    answers = {name: answer(results, name, layer) for name in correct(case, layer)}
    return {name: in_shape(np.asarray(value), case.shape_of(name)) for name, value in answers.items()}


def inputs(layer: Layer, case: Case) -> dict[str, Any]:
    """Every name that no line gives a value; what has a direction in a jvp has it as its imaginary part."""
    layout = case.layout
    arrays = {n: layout.broadcastable(a) for n, a in {**case.parameters, **case.state}.items()}
    names: dict[str, Any] = {"x": case.x, "gamma": 1.0, "beta": 0.0, "dy": case.dy, **arrays}
    directions = {n: names.pop(tangent_of(n)) for n in ("x", "gamma", "beta") if tangent_of(n) in names}
    moved = {n: names[n] + 1j * STEP * direction for n, direction in directions.items()}
    names |= {name: np.array(value).view(Kept) for name, value in {**names, **moved}.items()}
    names |= {f"{n}_dot": np.array(direction).view(Kept) for n, direction in directions.items()}
    upstream = {n: np.array(a).view(Kept) for n, a in case.broadcast_upstream().items()}
    names |= {"dmean_out": upstream.get("mean", 0), "dvar_out": upstream.get("var", 0)}
    shared = tuple(k for k, axis in enumerate(layout.axes) if axis not in layout.affine)
    sizes = {"axis": layout.reduced_axes, "shared": shared}
    settings = {"weight": case.settings.get("new_weight", 0), "ddof": case.settings.get("ddof", 0)}
    return {"np": np, **names, **sizes, **settings, "eps": case.eps}


def answer(values: Mapping[str, Any], name: str, layer: Layer) -> Any:
    """By the name that a case has for it."""
    if layer.primal is None:
        return values[name]
    if name == "y":
        return np.real(values["y_dot"])
    first = name.removesuffix(tangent_of(""))
    return np.real(values[first]) if first != name else np.imag(values[first]) / STEP


def in_shape(value: Array, shape: tuple[int, ...]) -> Array:
    if value.size == 1 != np.prod(shape):
        return value.reshape(())
    return value.reshape(shape) if value.size == np.prod(shape) else value


def home(name: str) -> tuple[Layer, Case]:
    """The first layer and layout that has room for a bug, and a case that tells it."""
    cases = (
        (layer, case) for layer in LAYERS.values() for layout in layer.layouts for case in probes(layer, layout)[:2]
    )
    return next((layer, case) for layer, case in cases if name in touched(layer, case))


def same(left: Gradients, right: Gradients, names: Any) -> bool:
    return all(left[n].shape == right[n].shape and np.allclose(left[n], right[n], rtol=1e-9, atol=1e-11) for n in names)


FORMULAS = [name for name, bug in BUGS.items() if bug.effect in ("", "rounding") and bug.plant is not Bug.plant]


@pytest.mark.parametrize("name", FORMULAS)
def test_what_a_page_calls_wrong_is_the_bug_and_what_it_calls_right_is_right(name: str) -> None:
    bug = BUGS[name]
    layer, case = home(name)
    right, wrong = correct(case, layer), bug.vjp(case, layer)
    assert same(executed(bug.right, layer, case), right, right)
    edit = bug.edits(layer, case.layout, tuple(case.parameters))[0]
    own = edit.program.swept(edit.program.forward).backward == edit.program.backward
    returned = [n for n in right if n not in case.gradient_names]
    compared = returned if edit.side == FORWARD and own else right  # the page has no line of that backward pass
    answer = executed(bug.wrong, layer, case)
    assert same(answer, wrong, compared)
    assert bug.effect or not same(answer, right, compared)


SORTS = [name for name, bug in BUGS.items() if not bug.effect and bug.plant is Bug.plant]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SORTS, "one-element"])
def test_the_page_on_a_sort_of_edit_shows_one_that_is_called_so(name: str) -> None:
    layer = LAYERS["batch_norm"]
    for case in probes(layer):
        right = correct(case, layer)
        assert same(executed(BUGS[name].right, layer, case), right, right)
    (diagnosis,) = diagnose(layer, partial(executed, BUGS[name].wrong, layer))
    assert diagnosis.id == name


@pytest.mark.parametrize("name", ["mutates-input", "state-changed", "dtype-changed"])
def test_the_page_on_an_effect_has_it(name: str) -> None:
    for code, expected in ((BUGS[name].wrong, True), (BUGS[name].right, False)):
        x, running_mean = np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros(2, np.float32)
        names: dict[str, Any] = {
            "np": np,
            "x": x,
            "running_mean": running_mean,
            "weight": 0.5,
            "mean": 1,
            "axis": 0,
            "training": False,
        }
        exec(code, names)
        changed = {"mutates-input": x[0, 0] != 0, "state-changed": running_mean.any()}
        assert changed.get(name, "dx" in names and names.get("dx", x).dtype != x.dtype) == expected
