"""One small group with round numbers, as one would choose it on a blackboard, or one's own; how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from bncheck.case import Array, Case
from bncheck.errors import InvalidInput
from bncheck.figures.studio.computation import Computation, computation, diagram
from bncheck.figures.studio.diagram import Diagram
from bncheck.figures.studio.look import Look
from bncheck.inputs.recipes import Recipe
from bncheck.layers import Layer
from bncheck.oracles.graph import Sweep, sweep, swept

COUNT = 4
"""How many elements the group has."""

LEAST, MOST = 2, 8
"""Between these is how many a group of one's own has: more do not fit a card."""

GROUPS = (
    *((-1, 2, 3, 6), (-2, 1, 2, 5), (1, 4, 5, 8), (-5, 1, 3, 9), (-3, 3, 5, 11)),
    *((-2, -1, 2, 4), (-2, 1, 2, 4), (-4, -2, 2, 8), (-7, -1, 5, 5), (-3, -1, 3, 9)),
)
"""Whole numbers whose standard deviation, or whose root mean square, is 2.5 or 5: what one divides by is round."""

DRAWS = 160
"""Out of how many groups the one with the shortest numbers is chosen."""


@lru_cache(maxsize=64)
def small_case(layer: Layer, seed: int) -> Case:
    """A case of one group of `COUNT` elements whose numbers can be computed by hand, all the way there and back.

    Shapes
        x, dy: 4 along the last axis that the layer's first layout reduces, 1 along all others

    >>> from bncheck.layers import LAYERS
    >>> small_case(LAYERS["batch_norm"], 0).x.shape, small_case(LAYERS["layer_norm"], 0).x.shape
    ((4, 1), (1, 4))
    """
    rng = np.random.default_rng(seed)
    return min((_drawn(layer, seed, rng) for _ in range(DRAWS)), key=lambda case: _effort(layer, case))


def _drawn(layer: Layer, seed: int, rng: np.random.Generator) -> Case:
    """A group of whole numbers."""
    x = rng.permutation(np.array(GROUPS, float)[rng.integers(len(GROUPS))])
    return _completed(layer, x, rng, f"blackboard/{seed}")


def _completed(layer: Layer, x: Array, rng: np.random.Generator, origin: str) -> Case:
    """A group with halves for everything else; something comes back through the mean."""
    layout = layer.layouts[0]
    shape = tuple(x.size if axis == layout.reduced[-1] else 1 for axis in layout.axes)
    dy = np.zeros(x.size)
    while abs(dy.sum()) < 1:
        dy = rng.choice([-3.0, -2.0, -1.0, 0.5, 1.0, 1.5, 2.0, 3.0], x.size, replace=False)
    sizes = layout.parameter_shape(shape)
    drawn = {name: rng.choice([-2.0, -0.5, 0.5, 1.5, 2.0, 3.0], sizes) for name in layer.parameters}
    return Case(layout, x.reshape(shape), dy.reshape(shape), drawn, 1e-5, origin)


def _effort(layer: Layer, case: Case) -> float:
    """How many digits stand on the blackboard, and how many of its numbers are rounded or next to nothing."""
    done = sweep(layer, case)
    total = 0.0
    for values in (np.asarray(v) for both in (done.values, done.gradients) for v in both.values() if np.ndim(v)):
        written = values.round(2)
        total += values.size * sum(bool((written != values.round(digits)).any()) for digits in (0, 1))
        total += 4 * int((abs(written - values) > 1e-3 * abs(values)).sum()) + 8 * int((abs(written) < 0.05).sum())
    return total


def own_case(
    layer: Layer,
    seed: int = 0,
    *,
    case: Case | Recipe | None = None,
    x: Sequence[float] | None = None,
    dy: Sequence[float] | None = None,
    gamma: float | Sequence[float] | None = None,
    beta: float | Sequence[float] | None = None,
    eps: float | None = None,
) -> Case:
    """One group of one's own numbers; or the first group of a `case`.

    Without `x` it is that of `small_case`; what else is left out is as there, or drawn for the seed where x is longer
    or shorter.

    Shapes
        x, dy: `LEAST` to `MOST` numbers; gamma, beta: one number, or one for each element where they vary in a group

    Raises
        InvalidInput: not numbers, too few, too many, or not as many as there must be; a parameter that the layer has
            not; numbers with which something overflows; or a case beside numbers.

    >>> from bncheck.layers import LAYERS
    >>> own_case(LAYERS["batch_norm"], x=[1, 2, 3], gamma=2).parameters["gamma"]
    array([2.])
    """
    numbers = {"x": x, "dy": dy, "gamma": gamma, "beta": beta, "eps": eps}
    typed = {name: _typed(name, value) for name, value in numbers.items() if value is not None}
    if case is not None:
        for name, value in typed.items():
            raise InvalidInput(name, _listed(value), f"no {name} beside a case", f"Leave out {name}, or the case.")
        chosen = _first_group(case.build(layer) if isinstance(case, Recipe) else case)
    else:
        chosen = _replaced(layer, seed, typed)
    done = sweep(layer, chosen)
    if not all(np.isfinite(v).all() for both in (done.values, done.gradients) for v in both.values()):
        constraint = "numbers with which nothing overflows"
        raise InvalidInput("x", _listed(chosen.x), constraint, "Choose larger or smaller ones.")
    return chosen


def _replaced(layer: Layer, seed: int, typed: Mapping[str, Array]) -> Case:
    """The small group with other numbers in the place of some."""
    usual = small_case(layer, seed)
    x = typed.get("x", usual.x)
    if not LEAST <= x.size <= MOST:
        constraint = f"{LEAST} to {MOST} numbers, but got {x.size}"
        raise InvalidInput("x", _listed(x), constraint, "They are the elements of one group.")
    if x.size != COUNT:
        usual = _completed(layer, x, np.random.default_rng(seed), "")
    drawn = {"x": usual.x, "dy": usual.dy, **usual.parameters}
    shapes = {name: value.shape for name, value in drawn.items()} | {"eps": ()}
    for name in typed:
        if name not in shapes:
            raise InvalidInput(name, _listed(typed[name]), f"no {name} for {layer.name}", f"Leave out {name}.")
    own = {name: _shaped(name, values, shapes[name]) for name, values in typed.items()}
    x, dy, *parameters = ({**drawn, **own}[name] for name in drawn)
    origin = _OWN if {*drawn} <= {*own} else f"{_OWN}, seed {seed}"
    named = dict(zip(usual.parameters, parameters, strict=True))
    return Case(usual.layout, x, dy, named, float(own.get("eps", usual.eps)), origin)


def _shaped(name: str, values: Array, shape: tuple[int, ...]) -> Array:
    """Numbers as an array of some shape; one stands for all, but not of dy."""
    count = math.prod(shape)
    if values.size != count and (name == "dy" or values.size != 1):
        if count == 1:
            raise InvalidInput(name, _listed(values), "one number", "Leave out the others.")
        constraint = f"{count} numbers, as many as x has, but got {values.size}"
        raise InvalidInput(name, _listed(values), constraint, f"Mend {name}, or x.")
    return np.broadcast_to(values, count).reshape(shape)


def _typed(name: str, value: Any) -> Array:
    """What was typed as numbers."""
    try:
        values = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else repr(value)
        raise InvalidInput(name, shown, "numbers", "1,2,3,4, for example.") from None
    if not np.isfinite(values).all():
        raise InvalidInput(name, _listed(values), "finite numbers only", "Mend or leave out that element.")
    return values


def _listed(values: Array) -> str:
    return ",".join(f"{value:g}" for value in np.ravel(values))


def _first_group(case: Case) -> Case:
    """The elements that the first mean of a case covers, in double precision, with their parameters."""
    layout = case.layout
    if not LEAST <= case.count <= MOST:
        constraint = f"groups of {LEAST} to {MOST} elements, but these have {case.count}"
        raise InvalidInput("case", case.origin, constraint, f"Choose another size of {', '.join(layout.reduced)}.")
    first = tuple(slice(None) if k in layout.reduced_axes else slice(1) for k in range(len(layout.axes)))
    x, sizes = case.x[first], layout.parameter_shape(case.x[first].shape)
    parameters = {n: value[first].reshape(sizes) for n, value in case.broadcast_parameters().items()}
    return Case(layout, x, case.dy[first], parameters, case.eps, _OWN).astype(np.float64)


_OWN = "own numbers"
"""What stands at the foot of a figure in the place of the seed."""

NOISE = 1e-12
"""What is nearer to 0 is written as 0, unless it is said what rounding can have left."""


def number(value: float, digits: int = 2, noise: float = NOISE) -> str:
    """A number in two digits after the point, with a minus sign; tiny and huge ones by their power of ten.

    >>> number(-0.5), number(1e-5), number(-1e-17), number(2.0), number(12345678)
    ('−0.50', '1e−5', '0.00', '2.00', '1.235e7')
    """
    if noise < abs(value) < 0.5 * 10.0**-digits:
        return powered(value, 1)
    if abs(value) >= HUGE:
        return powered(value)
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


HUGE, TINY = 1e7, 1e-3
"""From here on, and up to here, numbers are written by their power of ten."""


def powered(value: float, digits: int = 4) -> str:
    """A number in at most so many digits, by its power of ten.

    >>> powered(1.5e-8), powered(-123456), powered(0.0)
    ('1.5e−8', '−1.235e5', '0')
    """
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return (f"{mantissa}e{int(exponent)}" if value else "0").replace("-", "−")


def tex(number: str) -> str:
    r"""A number that is written so, in mathtext.

    >>> print(tex("−1.5e−8"), tex("1e−5"))
    -1.5\cdot10^{-8} 10^{-5}
    """
    mantissa, _, exponent = number.replace("−", "-").partition("e")
    if not exponent:
        return mantissa
    factor = mantissa.removesuffix("1") if mantissa in ("1", "-1") else rf"{mantissa}\cdot"
    return rf"{factor}10^{{{exponent}}}"


def column(values: Array, noise: float = NOISE) -> tuple[str, ...]:
    """Numbers under one another: two digits after the point, of small ones three in all, but none that no number needs.

    >>> column(np.array([1.0, -2.000001])), column(np.array([0.5, 1 / 3])), column(np.array([0.0123, 0.05]))
    (('1', '−2'), ('0.50', '0.33'), ('0.0123', '0.0500'))
    """
    every = [float(v) if abs(v) > noise else 0.0 for v in np.asarray(values).reshape(-1)]
    largest = max(map(abs, every))
    if 0 < largest < TINY:
        return tuple(map(powered, every))
    place = math.floor(math.log10(largest)) if largest else 0
    most = 2 - place if place < -1 else min(2, max(7 - place, 0))
    digits = next(k for k in range(most + 1) if all(round(v, k) == round(v, most) for v in every))
    return tuple(number(v, digits, noise) for v in every)


def worked(found: Computation, case: Case) -> Sweep:
    """The numbers of a case there and back; what may be the rounding of 0 is 0."""
    from bncheck.bugs.programs import DY, Bench, elementary, gradient
    from bncheck.formats import Format
    from bncheck.tolerances.intervals import Radius

    done = swept(found.graph, case)
    program, labels = elementary(found.layer, case.layout, tuple(case.parameters))
    lifted = Bench(program, case, lambda values: Radius.exact(values, Format.of(case.dtype))).values(program)

    def settled(values: Array, bounds: Sequence[Any]) -> Array:
        noise = sum(bound.radius for bound in bounds if isinstance(bound, Radius))
        return np.where(np.abs(values) <= noise, 0.0, values)

    values, gradients = {**done.values}, {**done.gradients}
    for node in (node for node in found.nodes if np.shape(values[node])):
        copies = [labels[copy] for copy in found.copies[node]]
        values[node] = settled(values[node], [lifted[copies[0]]])
        gradients[node] = settled(gradients[node], [lifted.get(gradient(label), lifted[DY]) for label in copies])
    return Sweep(done.graph, values, gradients)


def numbered(layer: Layer, look: Look, case: Case) -> Diagram:
    """The diagram of a layer with the values and gradients of a small group."""
    found = computation(layer, case.layout)
    done = worked(found, case)
    plain = diagram(found, look, derivatives=False)
    vertices = []
    for node, vertex in zip(found.nodes, plain.vertices, strict=True):
        values, gradients = (column(numbers[node], 0) for numbers in (done.values, done.gradients))
        vertices.append(replace(vertex, values=values, gradients=gradients, cluster=""))
    return replace(plain, vertices=tuple(vertices), clusters={})
