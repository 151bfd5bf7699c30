"""Midpoint-radius arrays: NumPy arrays that carry a bound on their own rounding error.

A `Radius` stands for everything that a computation in some floating-point format can return, whatever the order in
which it adds: the midpoint is computed in float64, the radius bounds the distance to any such result and to the exact
value. Running a formula on these arrays is how bncheck computes a tolerance instead of choosing one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.formats import Format

_SLACK = 1 + 2.0**-40  # float64 rounds the radius too: each operation widens it by far more than that

_ELEMENTARY = 16
"""Roundings of an exponential, a logarithm or a hyperbolic tangent: the 4 ulp within which NumPy's own tests hold these
functions, twice, since the midpoint is computed by them, too."""


@dataclass(frozen=True, eq=False)
class Radius:
    """An array of intervals midpoint ± radius, closed under the operations that layer definitions use.

    Products, quotients and roots may each be off by u relative to their result, an addition by 2u relative to its
    operands, so that the terms may be grouped otherwise and a common factor multiplied in before or after; all of them
    by the smallest number. A sum of m terms may be off by (m − 1)·u times the largest partial sum any order can meet.
    Where a result may leave the format's range, or a divisor may vanish, the radius is infinite: nothing can be
    concluded there.

    >>> third = Radius.exact(1.0, Format.of("float64")) / 3
    >>> bool(third.radius >= abs(1 - 3 * third.midpoint)), bool(third.radius < 1e-15)
    (True, True)
    """

    midpoint: Array
    radius: Array
    format: Format

    __array_priority__ = 1000

    @classmethod
    def exact(cls, values: Any, fmt: Format) -> Radius:
        """Values that are known exactly."""
        midpoint = np.asarray(values, dtype=np.float64)
        return cls(midpoint, np.zeros_like(midpoint), fmt)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.midpoint.shape

    @property
    def magnitude(self) -> Array:
        """The largest absolute value within the interval."""
        return np.abs(self.midpoint) + self.radius

    def _lift(self, other: Any) -> Radius:
        if isinstance(other, Radius):
            return other
        value = np.asarray(other, dtype=np.float64)
        exact = float(value).is_integer() if value.ndim == 0 else False
        rounding = 0.0 if exact else self.format.roundoff * np.abs(value) + self.format.smallest
        return Radius(value, np.broadcast_to(rounding, value.shape), self.format)

    def _rounded(self, midpoint: Array, radius: Array, roundings: float = 1) -> Radius:
        """A result with the error of the operation itself added, and the format's range respected."""
        with np.errstate(all="ignore"):
            magnitude = np.abs(midpoint) + radius
            error = roundings * self.format.roundoff * magnitude + self.format.smallest
            total = (radius + error) * _SLACK
            total = np.where(magnitude + total <= self.format.largest, total, np.inf)
        return Radius(midpoint, total, self.format)

    def __add__(self, other: Any) -> Radius:
        with np.errstate(all="ignore"):
            other = self._lift(other)
            operands = 2 * self.format.roundoff * (self.magnitude + other.magnitude)
            return self._rounded(self.midpoint + other.midpoint, self.radius + other.radius + operands, roundings=0)

    __radd__ = __add__

    def __neg__(self) -> Radius:
        return Radius(-self.midpoint, self.radius, self.format)

    def __sub__(self, other: Any) -> Radius:
        return self + -self._lift(other)

    def __rsub__(self, other: Any) -> Radius:
        return self._lift(other) + -self

    def __mul__(self, other: Any) -> Radius:
        with np.errstate(all="ignore"):
            other = self._lift(other)
            radius = (
                np.abs(self.midpoint) * other.radius + np.abs(other.midpoint) * self.radius + self.radius * other.radius
            )
            return self._rounded(self.midpoint * other.midpoint, np.where(np.isnan(radius), np.inf, radius))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Radius:
        with np.errstate(all="ignore"):
            other = self._lift(other)
            midpoint = self.midpoint / other.midpoint
            nearest = np.abs(other.midpoint) - other.radius
            radius = (self.radius + np.abs(midpoint) * other.radius) / nearest
            return self._rounded(midpoint, np.where((nearest > 0) & ~np.isnan(radius), radius, np.inf))

    def __rtruediv__(self, other: Any) -> Radius:
        return self._lift(other) / self

    def __pow__(self, exponent: int) -> Radius:
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power

    def sqrt(self) -> Radius:
        """The square root, of the part of the interval where it exists."""
        with np.errstate(all="ignore"):
            root = np.sqrt(self.midpoint)
            low = np.sqrt(np.maximum(self.midpoint - self.radius, 0))
            high = np.sqrt(self.midpoint + self.radius)
            # √b − √a = (b − a)/(√a + √b): no cancellation
            radius = self.radius / np.minimum(root + low, high + root)
            radius = np.where(self.radius == 0, 0.0, np.where(np.isnan(radius), np.inf, radius))
        return self._rounded(root, radius)

    def sum(self, axis: tuple[int, ...], keepdims: bool = True) -> Radius:
        """The sum over axes, in any order: every partial sum is a subset's sum."""
        if not keepdims:
            raise TypeError("keepdims=False, expected True: statistics broadcast against x.")
        with np.errstate(all="ignore"):
            midpoint = self.midpoint.sum(axis=axis, keepdims=True)
            radius = self.radius.sum(axis=axis, keepdims=True)
            absolute = np.abs(self.midpoint).sum(axis=axis, keepdims=True)
            partial = (absolute + np.abs(midpoint)) / 2 + radius
            terms = max(self.midpoint.size // max(midpoint.size, 1), 1)
            growth = (terms - 1) * self.format.roundoff
            error = growth / (1 - growth) * partial if growth < 1 else np.full_like(partial, np.inf)
            total = (radius + error + terms * self.format.smallest) * (_SLACK + terms * 2.0**-52)
            total = np.where(partial + total <= self.format.largest, total, np.inf)
        return Radius(midpoint, total, self.format)

    def mean(self, axis: tuple[int, ...]) -> Radius:
        """The mean over axes, kept with size 1; each term may be divided, or weighed, before the sum."""
        total = self.sum(axis)
        count = self.midpoint.size // total.midpoint.size
        mean = total / count
        with np.errstate(all="ignore"):
            weighed = self.format.roundoff * self.magnitude.sum(axis=axis, keepdims=True) / count
            return Radius(mean.midpoint, (mean.radius + weighed) * _SLACK, self.format)

    def __matmul__(self, other: Any) -> Radius:
        """The product of two matrices, each of its sums in any order; the midpoint is one of these, hence twice."""
        with np.errstate(all="ignore"):
            other = self._lift(other)
            terms = self.shape[-1]
            growth = terms * self.format.roundoff
            largest = self.magnitude @ other.magnitude
            exact = np.abs(self.midpoint) @ np.abs(other.midpoint)
            error = 2 * growth / (1 - growth) * largest if growth < 1 else np.full_like(largest, np.inf)
            # what the intervals add, largest − exact, is found by subtraction, which itself rounds
            total = (largest - exact + error + terms * self.format.smallest) * (_SLACK + terms * 2.0**-52)
            total = np.where((largest <= self.format.largest) & ~np.isnan(total), total, np.inf)
        return Radius(self.midpoint @ other.midpoint, total, self.format)

    def __rmatmul__(self, other: Any) -> Radius:
        return self._lift(other) @ self

    def exp(self) -> Radius:
        """The exponential."""
        with np.errstate(all="ignore"):
            value = np.exp(self.midpoint)
            return self._rounded(value, value * np.expm1(self.radius), roundings=_ELEMENTARY)

    def log(self) -> Radius:
        """The natural logarithm, of the part of the interval where it exists."""
        with np.errstate(all="ignore"):
            radius = -np.log1p(-self.radius / self.midpoint)
            radius = np.where(self.midpoint > self.radius, radius, np.inf)
            return self._rounded(np.log(self.midpoint), radius, roundings=_ELEMENTARY)

    def tanh(self) -> Radius:
        """The hyperbolic tangent, whose slope is at most 1."""
        return self._rounded(np.tanh(self.midpoint), self.radius, roundings=_ELEMENTARY)

    def maximum(self, bound: float) -> Radius:
        """The larger of it and a number, exactly."""
        radius = np.where(self.midpoint + self.radius > bound, self.radius, 0.0)
        return Radius(np.maximum(self.midpoint, bound), radius, self.format)

    def __gt__(self, bound: float) -> Radius:
        """1 where it is larger than a number, 0 where it is not; where that is open, 0 or 1 with a radius of 1."""
        is_open = (self.midpoint - self.radius > bound) != (self.midpoint + self.radius > bound)
        return Radius((self.midpoint > bound).astype(np.float64), is_open.astype(np.float64), self.format)

    def max(self, axis: int, keepdims: bool = True) -> Array:
        """The largest midpoints: plain numbers of about its size."""
        return np.asarray(self.midpoint.max(axis=axis, keepdims=keepdims))

    def argmax(self, axis: int) -> Array:
        """Which of each row is the largest.

        Raises
            ArithmeticError: several may be.
        """
        place = self.midpoint.argmax(axis=axis)
        least = np.take_along_axis(self.midpoint - self.radius, np.expand_dims(place, axis), axis)
        if ((self.midpoint + self.radius >= least).sum(axis=axis) > 1).any():
            raise ArithmeticError("which is the largest is open")
        return np.asarray(place)

    def __getitem__(self, place: Any) -> Radius:
        return Radius(self.midpoint[place], self.radius[place], self.format)

    def transpose(self, *axes: int) -> Radius:
        """The same intervals with their axes in another order."""
        return Radius(self.midpoint.transpose(*axes), self.radius.transpose(*axes), self.format)

    @property
    def T(self) -> Radius:  # noqa: N802  # as NumPy calls it
        """The transposed matrix."""
        return self.transpose()

    def ravel(self) -> Radius:
        """The same intervals in a row."""
        return self.reshape(-1)

    def rounded_to(self, fmt: Format) -> Radius:
        """The same intervals, with one rounding to another format: what was computed in a wider one is stored."""
        return Radius(self.midpoint, self.radius, fmt)._rounded(self.midpoint, self.radius)

    def copy(self) -> Radius:
        """The same intervals; nothing here is ever changed in place."""
        return self

    def reshape(self, *shape: Any) -> Radius:
        """The same intervals in another shape."""
        return Radius(self.midpoint.reshape(*shape), self.radius.reshape(*shape), self.format)

    def sorted(self) -> Radius:
        """The same intervals in a row, by their midpoints."""
        order = np.argsort(self.midpoint, axis=None)
        return Radius(self.midpoint.ravel()[order], self.radius.ravel()[order], self.format)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        named = _NAMED.get(ufunc)
        if named is not None and method == "__call__" and not kwargs and inputs[0] is self:
            return named(*inputs)
        operation = _REFLECTED.get(ufunc)
        if operation is not None and method == "__call__" and not kwargs:
            return operation(self, inputs[0])
        return NotImplemented

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.pad and not kwargs:
            return Radius(np.pad(self.midpoint, args[1]), np.pad(self.radius, args[1]), self.format)
        if function is np.concatenate:
            midpoint = np.concatenate([part.midpoint for part in args[0]], **kwargs)
            return Radius(midpoint, np.concatenate([part.radius for part in args[0]], **kwargs), self.format)
        if function is not np.einsum or kwargs:
            return NotImplemented
        spec, left, right = args
        letters, kept = spec.split(",")[0], spec.split("->")[1]
        summed = (left * right).sum(axis=tuple(k for k, letter in enumerate(letters) if letter not in kept))
        return summed.reshape([size for size, letter in zip(summed.shape, letters, strict=True) if letter in kept])


_NAMED: dict[np.ufunc, Callable[..., Radius]] = {
    np.sqrt: Radius.sqrt,
    np.exp: Radius.exp,
    np.log: Radius.log,
    np.tanh: Radius.tanh,
    np.maximum: Radius.maximum,
}

# An operation with a NumPy scalar or array on the left arrives as a ufunc; the order of arguments is then reversed.
_REFLECTED: dict[np.ufunc, Callable[[Radius, Any], Radius]] = {
    np.add: Radius.__radd__,
    np.subtract: Radius.__rsub__,
    np.multiply: Radius.__rmul__,
    np.true_divide: Radius.__rtruediv__,
    np.matmul: Radius.__rmatmul__,
}
