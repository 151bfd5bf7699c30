"""The finite-difference oracle: gradients of any black box from its forward pass alone, each with its own error.

Groups do not see each other, so one evaluation moves one element in every group at once; and copies of the batch can
stand side by side as further groups, so one evaluation does the work of many. Neither is taken on trust: both are
tried out first on the function at hand, which is otherwise moved one element at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncheck.case import Array, Case
from bncheck.formats import Format

Forward = Callable[[Array, Mapping[str, Array]], Array]
"""A black box: x and the parameters, in the shapes of a `Case`, to y; see `joined` for what else a layer returns."""

_CHUNK = 1 << 18  # elements evaluated at once: few calls, and blocks that stay in the processor's cache


@dataclass(frozen=True)
class Estimate:
    """A gradient and, element by element, how far it may be from the truth."""

    value: Array
    error: Array


def vjp(forward: Forward, case: Case, noise: Array, *, grouped: bool = True) -> dict[str, Estimate]:
    """Every gradient of one case by central differences at h and 2h, extrapolated to h = 0.

    `noise` bounds the rounding error of y; `bncheck.tolerance` computes it. `grouped` says that y is normalized over
    the groups of the case's layout, as a layer's is; a forward that is known to be another is looked at more closely.

    Error
        Two parts. Truncation: the terms of y's series in one element fall like (h/L)², and what the extrapolation
        leaves is (h/L)² times what it removed, or (h/L)⁴ times the first term; both count sixteen-fold. L is
        √(m (σ² + ε)), within which batch norm is analytic, or less where a third step, 4h, shows less: at a few
        elements, or at every one unless `grouped`. Rounding: what `noise` can do at this h.
        tests/test_finite_difference.py holds the truth within it.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> case = Case(layer.layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> dx = vjp(definition(layer, case), case, np.full((2, 1), 1e-15))["dx"]
    >>> off = abs(dx.value.ravel() - np.array([1, -1]) / 2**2.5)
    >>> bool((off <= dx.error.ravel()).all()), bool(dx.error.max() < 1e-7)
    (True, True)
    """
    box = _Box.examine(forward, case, noise)
    return {name: _extrapolated(box, name.removeprefix("d"), grouped=grouped) for name in case.gradient_names}


def complex_step(forward: Forward, case: Case, rounding: Mapping[str, Array]) -> dict[str, Estimate] | None:
    """Every gradient by one tiny step along the imaginary axis, free of cancellation; None where that is not possible.

    It needs a forward that carries complex numbers through by analytic operations; a function that drops the imaginary
    part, or cannot take it, is recognised by its answer. `rounding` bounds what rounding does to each gradient in real
    arithmetic, as `bncheck.tolerance` computes it.

    Error
        No truncation; a complex product is off by at most √5 u where a real one is by u (Brent, Percival and
        Zimmermann, 2007), so √5 times `rounding`.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> case = Case(layer.layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> rounding = {name: np.full(1, 1e-15) for name in case.gradient_names}
    >>> (complex_step(definition(layer, case), case, rounding)["dx"].value.ravel() * 2**2.5).round(12)
    array([ 1., -1.])
    """
    try:
        base = forward(case.x + 0j, {name: value + 0j for name, value in case.parameters.items()})
    except (TypeError, ValueError, RuntimeError):
        return None
    if not np.iscomplexobj(base):
        return None
    box = _Box.examine(forward, case, np.full(base.shape, np.inf), base)
    return {
        name: Estimate(_along_imaginary_axis(box, name.removeprefix("d")), np.sqrt(5) * rounding[name])
        for name in case.gradient_names
    }


def displaced(case: Case) -> Case:
    """The case with every element moved as far as the differences move one: rounding is bounded there, too."""
    signs = 1 - 2.0 * _parity(case.x.shape, case.layout.reduced_axes)
    step = (2 * _ratio(case) * _length(case) * signs).astype(case.dtype)
    return replace(case, x=case.x + step)


def definition(layer: Any, case: Case) -> Forward:
    """A layer's own definition as a black box on NumPy arrays."""
    axes, layout, eps = case.layout.reduced_axes, case.layout, case.eps
    state = {name: layout.broadcastable(value) for name, value in case.state.items()}

    def forward(x: Array, parameters: Mapping[str, Array]) -> Array:
        copies = [x.shape[k] // case.x.shape[k] if k in layout.affine_axes else 1 for k in range(x.ndim)]
        given = {name: layout.broadcastable(value) for name, value in parameters.items()}
        given |= {name: np.tile(value, copies) for name, value in state.items()}
        with np.errstate(all="ignore"):
            named = layer.forward(
                x,
                {**given, **case.settings},
                eps,
                mean=lambda a: np.mean(a, axis=axes, keepdims=True),
                sqrt=np.sqrt,
                count=case.count,
            )
        return joined(case, named)

    return forward


def joined(case: Case, values: Mapping[str, Array]) -> Array:
    """y, and behind it, along the first reduced axis, what else gets an upstream gradient in this case.

    Such a statistic is one number for a group; it stands on each place of the other reduced axes.
    """
    y, first = np.asarray(values["y"]), case.layout.reduced_axes[0]
    alone = tuple(1 if k in case.layout.reduced_axes else size for k, size in enumerate(y.shape))
    row = tuple(1 if k == first else size for k, size in enumerate(y.shape))
    rows = [np.broadcast_to(np.reshape(values[name], alone), row) for name in case.upstream]
    return np.concatenate([y, *rows], axis=first) if rows else y


def _weights(case: Case) -> Array:
    """The upstream gradients, joined as the outputs are; that of a statistic counts once."""
    others = case.layout.reduced_axes[1:]
    weights = joined(case, {"y": case.dy, **case.upstream}).astype(np.float64)
    if case.upstream and others:
        place = np.indices(weights.shape)
        repeated = (place[list(others)] > 0).any(axis=0)
        statistic = place[case.layout.reduced_axes[0]] >= case.x.shape[case.layout.reduced_axes[0]]
        weights[repeated & statistic] = 0
    return weights


@dataclass(frozen=True)
class _Box:
    """A forward together with what was found out about it."""

    forward: Forward
    case: Case
    weights: Array
    noise: Array
    independent: bool  # groups do not see each other
    stack_axis: int | None  # copies may stand side by side along this axis

    @classmethod
    def examine(cls, forward: Forward, case: Case, noise: Array, base: Array | None = None) -> _Box:
        base = np.asarray(forward(case.x, case.parameters)) if base is None else base
        weights = _weights(case)
        unknown = cls(forward, case, weights, noise, independent=False, stack_axis=None)
        if base.shape != weights.shape:
            return unknown
        slack = np.where(np.isfinite(noise), 2 * noise, Format.of(case.dtype).roundoff * 8 * np.abs(base).max())
        free = [k for k in range(case.x.ndim) if k not in case.layout.reduced_axes]
        moved = _half_moved(case, free)
        if free and not _same(np.asarray(forward(moved, case.parameters)), base, slack, _parity(base.shape, free) == 0):
            return unknown
        box = replace(unknown, independent=True, stack_axis=free[0] if free else None)
        if box.stack_axis is not None:
            copies = np.stack([case.x, moved, case.x])
            try:
                stacked = box.evaluate(copies, {})
            except (TypeError, ValueError, RuntimeError):
                stacked = np.empty(0)
            if stacked.shape != (3, *base.shape) or not all(_same(stacked[k], base, slack) for k in (0, 2)):
                return replace(box, stack_axis=None)
        return box

    def axes_of(self, name: str) -> tuple[int, ...]:
        """The axes along which x or a parameter varies."""
        if name == "x" or self.case.parameters[name].ndim == self.case.x.ndim:
            return tuple(range(self.case.x.ndim))
        return self.case.layout.affine_axes

    def evaluate(self, copies: Array, parameters: Mapping[str, Array]) -> Array:
        """The y of many inputs at once; `copies` is (K, *x.shape), a parameter that differs (K, *its shape)."""
        axis, count = self.stack_axis, len(copies)
        if axis is None or not all(axis in self.axes_of(name) for name in parameters):
            return np.stack(
                [
                    self.forward(x, {**self.case.parameters, **{name: p[k] for name, p in parameters.items()}})
                    for k, x in enumerate(copies)
                ]
            )
        given = dict(self.case.parameters)
        for name, value in given.items():
            if axis in self.axes_of(name):
                many = parameters.get(name, np.broadcast_to(value, (count, *value.shape)))
                given[name] = _merged(many, self.axes_of(name).index(axis))
        y = np.asarray(self.forward(_merged(copies, axis), given))
        return np.moveaxis(y.reshape(*y.shape[:axis], count, -1, *y.shape[axis + 1 :]), axis, 0)


def _merged(copies: Array, axis: int) -> Array:
    moved = np.moveaxis(copies, 0, axis)
    return np.ascontiguousarray(moved).reshape(*moved.shape[:axis], -1, *moved.shape[axis + 2 :])


def _parity(shape: tuple[int, ...], axes: Sequence[int]) -> Array:
    """A chessboard of 0 and 1 along some axes."""
    return np.asarray(np.indices(shape)[list(axes)].sum(axis=0) % 2)


def _half_moved(case: Case, free: list[int]) -> Array:
    """x with every other group shifted and spread."""
    still = _parity(case.x.shape, free) == 0
    spread = np.arange(case.x.size).reshape(case.x.shape) % 3 + 1
    return np.where(still, case.x, case.x + _length(case) * spread).astype(case.dtype)


def _same(got: Array, base: Array, slack: Array, where: Array | None = None) -> bool:
    if got.shape != base.shape:
        return False
    with np.errstate(all="ignore"):
        close = (np.abs(got - base) <= slack) | (got == base) | (np.isnan(got) & np.isnan(base))
    return bool(np.all(close if where is None else close | ~where))


def _ratio(case: Case) -> float:
    """h over the length: truncation and rounding in balance."""
    return float(Format.of(case.dtype).roundoff ** (1 / 6))


def _length(case: Case) -> Array:
    """How far y is analytic in one element: √(m (σ² + ε)); the variance has no complex zero nearer than that."""
    with np.errstate(all="ignore"):
        variance = np.var(case.x.astype(np.float64), axis=case.layout.reduced_axes, keepdims=True)
        return np.asarray(np.sqrt(case.count * (variance + case.eps)))


def _moves(box: _Box, name: str) -> Iterator[tuple[Any, ...]]:
    """Index tuples into x or a parameter: each picks one element of every group, or one element alone."""
    shape = box.case.x.shape if name == "x" else box.case.parameters[name].shape
    single = [not box.independent or axis in box.case.layout.reduced_axes for axis in box.axes_of(name)]
    ranges = [range(size) if alone else (slice(None),) for alone, size in zip(single, shape, strict=True)]
    return itertools.product(*ranges)


def _extrapolated(box: _Box, name: str, *, grouped: bool) -> Estimate:
    case = box.case
    target = case.x if name == "x" else case.parameters[name]
    length = np.broadcast_to(_length(case), target.shape) if name == "x" else 1 + np.abs(target)
    ratio = _ratio(case)
    moves = list(_moves(box, name))
    looked_at = moves[:: max(1, len(moves) // 4)][:4] if grouped else moves
    falling = max(ratio**2, _falling(box, name, looked_at, ratio * length))
    value = np.empty(target.shape)
    error = np.empty(target.shape)
    for batch, where, inputs in _batches(box, name, moves, ratio * length, np.array([1, -1, 2, -2])):
        slopes, width, moved = _slopes(box, name, where, inputs)
        first, second = np.moveaxis(slopes, 1, 0)
        with np.errstate(all="ignore"):
            noise = _contracted(box, name, box.noise[None], np.abs(box.weights)).reshape(1, *width.shape[1:])
            best = (4 * first - second) / 3
            truncation = 16 * falling * (falling * moved + np.abs(best - first))
            rounding = 3 * noise / width + 4 * case.x.size * 2.0**-53 * moved
        for k, index in enumerate(batch):
            value[index] = best[k]
            error[index] = truncation[k] + rounding[k]
    return Estimate(value, np.where(np.isnan(error), np.inf, error))


def _falling(box: _Box, name: str, moves: list[tuple[Any, ...]], step: Array) -> float:
    """How fast the terms of the series fall, measured at a few moves with a third step: (h/L)² of the worst."""
    worst = 0.0
    for _, where, inputs in _batches(box, name, moves, step, np.array([1, -1, 2, -2, 4, -4])):
        slopes, width, moved = _slopes(box, name, where, inputs)
        first, second, third = np.moveaxis(slopes, 1, 0)
        with np.errstate(all="ignore"):
            noise = _contracted(box, name, box.noise[None], np.abs(box.weights)).reshape(1, *width.shape[1:])
            rounding = 3 * noise / width + 4 * box.case.x.size * 2.0**-53 * moved
            fourth, fourth_at_2h = (4 * first - second) / 3, (4 * second - third) / 3
            # 60 b h⁴ seen beyond what rounding explains, against 3 a h² and the slope itself
            left = np.maximum(np.abs(fourth_at_2h - fourth) - 2 * rounding, 0) / 60
            removed = np.abs(fourth - first)
            found = np.where(left > 0, np.minimum(left / removed, np.sqrt(left / moved)), 0.0)
        worst = max(worst, float(np.nanmax(found, initial=0.0)))
    return worst


def _slopes(box: _Box, name: str, where: Array, inputs: tuple[Array, dict[str, Array]]) -> tuple[Array, Array, Array]:
    """Central differences at each step, twice the first step, and Σ |dy| |Δy| / 2h, all move by move."""
    y = box.evaluate(*inputs).astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        widths = where[:, 0::2].astype(np.float64) - where[:, 1::2]
        change = y[0::2] - y[1::2]
        slopes = _contracted(box, name, change, box.weights).reshape(widths.shape) / widths
        width = np.abs(widths[:, 0])
        steps = widths.shape[1]
        moved = _contracted(box, name, np.abs(change[0::steps]), np.abs(box.weights)).reshape(width.shape) / width
    return slopes, width, moved


def _along_imaginary_axis(box: _Box, name: str) -> Array:
    target = box.case.x if name == "x" else box.case.parameters[name]
    scale = np.broadcast_to(_length(box.case), target.shape) if name == "x" else 1 + np.abs(target)
    step = np.exp2(np.floor(np.log2(scale)) - 100)  # a power of two: dividing by it is exact
    value = np.empty(target.shape)
    for move, where, moved in _batches(box, name, _moves(box, name), step, np.array([1j])):
        y = box.evaluate(*moved)
        change = _contracted(box, name, y.imag, box.weights).reshape(where.shape)
        for k, index in enumerate(move):
            value[index] = change[k, 0] / step[index]
    return value


def _batches(
    box: _Box, name: str, moves: Iterable[tuple[Any, ...]], step: Array, multiples: Array
) -> Iterator[tuple[list[tuple[Any, ...]], Array, tuple[Array, dict[str, Array]]]]:
    """Yields moves by the chunk: their indices, the values moved to, and the inputs to evaluate."""
    case = box.case
    target = case.x if name == "x" else case.parameters[name]
    dtype = np.result_type(target, multiples) if np.iscomplexobj(multiples) else target.dtype
    size = max(1, _CHUNK // (case.x.size * len(multiples)))
    remaining = iter(moves)
    while batch := list(itertools.islice(remaining, size)):
        copies = np.repeat(target[None].astype(dtype), len(batch) * len(multiples), axis=0)
        grouped = copies.reshape(len(batch), len(multiples), *target.shape)
        for k, index in enumerate(batch):
            grouped[(k, slice(None), *index)] += np.multiply.outer(multiples, step[index]).astype(dtype)
        where = np.stack([grouped[(k, slice(None), *index)] for k, index in enumerate(batch)])
        if name == "x":
            inputs: tuple[Array, dict[str, Array]] = (copies, {})
        else:
            inputs = (np.broadcast_to(case.x, (len(copies), *case.x.shape)), {name: copies})
        yield batch, where, inputs


def _contracted(box: _Box, name: str, change: Array, weight: Array) -> Array:
    """Σ weight·change over everything that one moved element can have changed; the leading axis stays."""
    layout, ndim = box.case.layout, box.case.x.ndim
    if not box.independent:
        axes = tuple(range(ndim))
    else:
        axes = tuple(k for k in range(ndim) if k in layout.reduced_axes or k not in box.axes_of(name))
    letters = "abcdefgh"[: box.case.x.ndim]
    kept = "".join(letter for k, letter in enumerate(letters) if k not in axes)
    return np.asarray(np.einsum(f"z{letters},{letters}->z{kept}", change, weight))
