"""Frozen data that everything else passes on: `Layout`, `Case` and `Gradients`, with all input validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncheck.errors import InvalidInput
from bncheck.formats import DTYPES, working

Array = NDArray[Any]

Gradients = Mapping[str, Array]
"""What an oracle or a suspect answers: ``y`` and whatever else the layer returns, and ``dx``, ``dgamma``, ``dbeta``."""


@dataclass(frozen=True)
class Layout:
    """Which axes an array has, which of them a mean reduces, and along which γ and β vary.

    Axes are single letters, so that a layout reads like the text around it.

    >>> channels = Layout("NCHW", reduced="NHW", affine="C")
    >>> channels.count((32, 3, 8, 8)), channels.parameter_shape((32, 3, 8, 8))
    (2048, (3,))
    >>> str(channels)
    'NCHW:NHW:C'

    Raises
        InvalidInput: an axis repeats, or `reduced` or `affine` names an axis that `axes` lacks.
    """

    axes: str
    reduced: str
    affine: str

    def __post_init__(self) -> None:
        if not self.axes.isalpha() or not self.axes.isascii() or len(set(self.axes.lower())) != len(self.axes):
            raise InvalidInput("axes", self.axes, "distinct letters", "NCHW, for example.")
        for name in ("reduced", "affine"):
            letters = getattr(self, name)
            ordered = "".join(axis for axis in self.axes if axis in letters)
            if len(ordered) != len(letters) or not set(letters) <= set(self.axes):
                raise InvalidInput(name, letters, f"distinct letters out of {self.axes}", "NHW of NCHW, for example.")
            object.__setattr__(self, name, ordered)
        if not self.reduced:
            raise InvalidInput("reduced", "", f"at least one letter out of {self.axes}", "NHW of NCHW, for example.")

    @classmethod
    def parse(cls, text: str) -> Layout:
        """The layout that `str` wrote: ``axes:reduced:affine``."""
        parts = text.split(":")
        if len(parts) != 3:
            raise InvalidInput("layout", text, "axes:reduced:affine", "For example NCHW:NHW:C.")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.axes}:{self.reduced}:{self.affine}"

    @property
    def kept(self) -> str:
        """The axes that are not reduced: those along which a statistic varies."""
        return "".join(axis for axis in self.axes if axis not in self.reduced)

    @cached_property
    def reduced_axes(self) -> tuple[int, ...]:
        """Positions of the axes that one mean covers."""
        return tuple(self.axes.index(axis) for axis in self.reduced)

    @cached_property
    def affine_axes(self) -> tuple[int, ...]:
        """Positions of the axes along which γ and β vary."""
        return tuple(self.axes.index(axis) for axis in self.affine)

    @cached_property
    def shared_axes(self) -> tuple[int, ...]:
        """Positions of the axes along which γ and β stay the same: dγ and dβ are summed over them."""
        return tuple(k for k in range(len(self.axes)) if k not in self.affine_axes)

    def count(self, shape: tuple[int, ...]) -> int:
        """How many elements one mean covers: the m of the formulas."""
        return math.prod(shape[k] for k in self.reduced_axes)

    def parameter_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in which γ and β are stored: the sizes of the affine axes."""
        return tuple(shape[k] for k in self.affine_axes)

    def statistic_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in which statistics are returned: the sizes of the axes that are not reduced."""
        return tuple(size for k, size in enumerate(shape) if k not in self.reduced_axes)

    def broadcastable(self, parameter: Array) -> Array:
        """A view of a stored parameter that broadcasts against x; what is as large as x stays as it is."""
        if parameter.ndim == len(self.axes):
            return parameter
        return np.expand_dims(parameter, self.shared_axes)


@dataclass(frozen=True, eq=False)
class Case:
    """One input on which gradients are compared; the arrays are read-only copies.

    `state` holds what is given and not learned, as running statistics, and `settings` the definition's plain numbers;
    `upstream` holds the gradients of what the layer returns besides y.

    Shapes
        x, dy, and the parameter x_tangent: any shape with the layout's axes; the other parameters and the state:
        `layout.parameter_shape(x.shape)`; upstream: `layout.statistic_shape(x.shape)`

    Raises
        InvalidInput: a wrong shape or dtype, an empty, NaN or infinite array, or eps ≤ 0.

    >>> case = Case(Layout("NC", "N", "C"), x=[[0.0], [1.0]], dy=[[1.0], [0.0]], parameters={"gamma": [2.0]})
    >>> case.count, case.dtype
    (2, dtype('float64'))
    """

    layout: Layout
    x: Array
    dy: Array
    parameters: Mapping[str, Array] = field(default_factory=dict)
    eps: float = 1e-5
    origin: str = "given"
    state: Mapping[str, Array] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    upstream: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.layout, Layout):
            raise InvalidInput("layout", self.layout, "a Layout", "Layout.parse('NC:N:C'), for example.")
        for field_name in ("parameters", "state", "settings", "upstream"):
            if not isinstance(getattr(self, field_name), Mapping):
                kind = type(getattr(self, field_name)).__name__
                raise InvalidInput(field_name, kind, "arrays by name", "{'gamma': gamma}, for example.")
        x = _frozen("x", self.x)
        dy = _frozen("dy", self.dy, x.dtype)
        if x.ndim != len(self.layout.axes):
            expected = f"{len(self.layout.axes)} axes for layout {self.layout}"
            raise InvalidInput("x.shape", x.shape, expected, "Pass the layout that x has.")
        if dy.shape != x.shape:
            raise InvalidInput("dy.shape", dy.shape, f"the shape of x, {x.shape}", "dy is the gradient of y.")
        shape, statistic = self.layout.parameter_shape(x.shape), self.layout.statistic_shape(x.shape)
        shapes = {name: x.shape if name == X_TANGENT else shape for name in self.parameters}
        arrays = {
            "parameters": (self.parameters, shapes, self.layout.affine),
            "state": (self.state, dict.fromkeys(self.state, shape), self.layout.affine),
            "upstream": (self.upstream, dict.fromkeys(self.upstream, statistic), self.layout.kept),
        }
        for field_name, (values, shape_of, along) in arrays.items():
            frozen = {name: _frozen(name, value, x.dtype) for name, value in values.items()}
            for name, value in frozen.items():
                if value.shape != shape_of[name]:
                    raise _wrong_shape(name, value.shape, shape_of[name], along, self.layout)
            object.__setattr__(self, field_name, MappingProxyType(frozen))
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "dy", dy)
        object.__setattr__(self, "eps", checked_eps(self.eps))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __reduce__(self) -> tuple[object, ...]:
        values = (getattr(self, named.name) for named in fields(self))
        return Case, tuple(dict(value) if isinstance(value, Mapping) else value for value in values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of every array here."""
        return self.x.dtype

    @property
    def count(self) -> int:
        """The number of elements in one group."""
        return self.layout.count(self.x.shape)

    @property
    def gradient_names(self) -> tuple[str, ...]:
        """The names of the gradients this case asks for: dx first, then one for each parameter."""
        return ("dx", *(f"d{name}" for name in self.parameters))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a gradient or a returned value."""
        if name in ("y", "dx"):
            return self.x.shape
        if name in self.gradient_names:
            return self.parameters[name.removeprefix("d")].shape
        return self.layout.statistic_shape(self.x.shape)

    def given(self) -> dict[str, Any]:
        """Parameters, state and settings by name; each array as a view that broadcasts against x."""
        arrays = {**self.parameters, **self.state}
        return {**{name: self.layout.broadcastable(value) for name, value in arrays.items()}, **self.settings}

    def broadcast_parameters(self) -> dict[str, Array]:
        """The parameters, each as a view that broadcasts against x."""
        return {name: self.layout.broadcastable(value) for name, value in self.parameters.items()}

    def broadcast_upstream(self) -> dict[str, Array]:
        """dy, and the gradients of what else is returned, by the name of what they are the gradient of."""
        axes = self.layout.reduced_axes
        return {"y": self.dy, **{name: np.expand_dims(value, axes) for name, value in self.upstream.items()}}

    def astype(self, dtype: np.dtype[Any] | type[np.floating[Any]]) -> Case:
        """The same case with every array rounded to `dtype`."""

        def rounded(arrays: Mapping[str, Array]) -> dict[str, Array]:
            return {name: value.astype(dtype) for name, value in arrays.items()}

        return replace(
            self,
            x=self.x.astype(dtype),
            dy=self.dy.astype(dtype),
            parameters=rounded(self.parameters),
            state=rounded(self.state),
            upstream=rounded(self.upstream),
        )

    def widened(self) -> Case:
        """The same numbers in the dtype to compute in: a half type becomes float32, as in the frameworks."""
        wide = working(self.dtype)
        return self if wide == self.dtype else self.astype(wide)

    def answered(self, results: Mapping[str, Any]) -> dict[str, Array]:
        """Results as an oracle returns them: in the case's shapes, and rounded once to its dtype."""
        with np.errstate(all="ignore"):
            return {
                name: np.asarray(value).reshape(self.shape_of(name)).astype(self.dtype, copy=False)
                for name, value in results.items()
            }


Vjp = Callable[[Case], Gradients]
"""The contract of every oracle and suspect: a case to y and its gradients, by name."""

X_TANGENT = "x_tangent"
"""The one parameter that is as large as x: the direction in which a jvp goes."""


def _wrong_shape(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...], along: str, layout: Layout
) -> InvalidInput:
    along = layout.axes if name == X_TANGENT else along
    constraint = f"{expected}, one value along {','.join(along)}" if along else "(), a single value"
    return InvalidInput(f"{name}.shape", shape, constraint, f"Or pass another layout than {layout}.")


@dataclass(frozen=True)
class Enclosure:
    """Real numbers known to lie within `value + remainder ± radius`, element by element: what a truth looks like.

    `value` is float64; `remainder` is what float64 could not hold.
    """

    value: Array
    remainder: Array
    radius: Array

    def distance(self, got: Array) -> Array:
        """How far an array is from the middle, element by element; NaN where it is not a number."""
        with np.errstate(all="ignore"):
            return np.abs(got.astype(np.float64) - self.value - self.remainder)

    def may_be_zero(self) -> Array:
        """Where zero lies within the enclosure."""
        return np.asarray(np.abs(self.value + self.remainder) <= self.radius)


def checked_eps(eps: Any) -> float:
    """Eps as a Python float, which leaves the dtype of an array alone; InvalidInput unless finite and above 0."""
    if not isinstance(eps, Real) or not 0 < float(eps) < math.inf:
        raise InvalidInput("eps", eps, "a finite number above 0", "1e-5 is usual.")
    return float(eps)


def _frozen(name: str, value: Any, dtype: np.dtype[Any] | None = None) -> Array:
    """A read-only copy of `value`, checked."""
    try:
        array = np.array(value)
    except ValueError:
        raise InvalidInput(
            name, type(value).__name__, "a rectangular array of numbers", "Give every row the same length."
        ) from None
    if array.dtype not in DTYPES.values():
        raise InvalidInput(f"{name}.dtype", str(array.dtype), f"one of {', '.join(DTYPES)}", "Convert with astype.")
    if dtype is not None and array.dtype != dtype:
        raise InvalidInput(f"{name}.dtype", str(array.dtype), f"the dtype of x, {dtype}", "Convert with astype.")
    if array.size == 0:
        raise InvalidInput(f"{name}.shape", array.shape, "at least one element", "Leave out empty batches.")
    if not np.isfinite(array).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
        element = f"{name}[{', '.join(map(str, where))}]"
        raise InvalidInput(element, str(array[where]), "finite numbers only", "Mend or leave out that element.")
    array.setflags(write=False)
    return array
