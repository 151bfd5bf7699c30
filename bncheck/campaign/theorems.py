"""Theorems on numbers: both sides of one, computed on one case, as midpoint-radius arrays.

The named values are those of the forward pass, the gradients those of the compiled backward pass, both in float64. So
a theorem holds on a case when zero lies within its left side minus its right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from bncheck.case import X_TANGENT, Array, Case, Layout
from bncheck.formats import Format
from bncheck.oracles.symbolic.derivation import ALONE, SIZES, roles
from bncheck.oracles.symbolic.symbols import FEATURE
from bncheck.oracles.symbolic.theorems import OWN, PRIME, SCALE, TWICE, Coincidence, Theorem
from bncheck.tolerances.bounds import enclosed
from bncheck.tolerances.intervals import Radius

_FORMAT = Format.of(np.float64)
_FEATURES = 3
_SCALE = 3.0


def shares(stated: Iterable[Theorem | Coincidence], case: Case) -> dict[str, float]:
    """For each theorem by name, how much of what rounding can explain its sides differ by: it is borne out up to 1.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> from bncheck.oracles.symbolic.theorems import theorems
    >>> layer = LAYERS["batch_norm"]
    >>> case = Case(layer.layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> found = shares(theorems(derive(layer, case.layout, ())), case)
    >>> list(found)[:3], max(found.values()) < 1
    (['gradient-sum', 'gradient-projection', 'shift'], True)
    """
    exact = case.astype(np.float64)
    computed: dict[Any, dict[str, Any]] = {}
    with np.errstate(all="ignore"):
        return {theorem.name: _share(theorem, exact, computed) for theorem in stated}


def _share(theorem: Theorem | Coincidence, case: Case, computed: dict[Any, dict[str, Any]]) -> float:
    if isinstance(theorem, Coincidence):
        differences = _differences(theorem, case)
    else:
        room = _Room(theorem, case, computed)
        differences = [room.value(theorem.left) - room.value(theorem.right)]
    fractions = [
        np.where((d.midpoint == 0) | ~(d.radius < np.inf), 0.0, np.abs(d.midpoint) / d.radius) for d in differences
    ]
    return float(max(fraction.max() for fraction in fractions))


def _differences(theorem: Coincidence, case: Case) -> list[Radius]:
    """y and dx of both layers, on the part of the case that has one value along the axes that fall away."""
    gone = [case.layout.axes.index(axis) for axis in roles(case.layout).get(theorem.letter, "")]
    part = tuple(slice(0, 1) if k in gone else slice(None) for k in range(case.x.ndim))
    along = tuple(part[k] for k in case.layout.affine_axes)
    first = replace(
        case, x=case.x[part], dy=case.dy[part], parameters={name: p[along] for name, p in case.parameters.items()}
    )
    kept = [k for k in range(case.x.ndim) if k not in gone]
    axes, reduced, affine = (
        "".join(axis for axis in letters if case.layout.axes.index(axis) in kept)
        for letters in (case.layout.axes, case.layout.reduced, case.layout.affine)
    )
    shape = tuple(first.x.shape[k] for k in kept)
    layout = Layout(axes, reduced, affine)
    parameters = {name: p.reshape(layout.parameter_shape(shape)) for name, p in first.parameters.items()}
    other = Case(layout, first.x.reshape(shape), first.dy.reshape(shape), parameters, case.eps)
    whole, single = enclosed(theorem.derivation.layer, first, _FORMAT), enclosed(theorem.other, other, _FORMAT)
    return [whole[name].reshape(shape) - single[name].reshape(shape) for name in ("y", "dx")]


@dataclass(frozen=True)
class _Room:
    """What the names of a theorem stand for in one case; every array has one more axis than x, that of features.

    `computed` holds the values of the layer at each input that was needed so far.
    """

    theorem: Theorem
    case: Case
    computed: dict[Any, dict[str, Any]]

    def value(self, expression: sp.Expr) -> Any:
        """An expression in numbers; indices bear the letters of their roles, so a sum is one over axes."""
        if isinstance(expression, sp.Indexed):
            return self._named(str(expression.base.label), expression)
        if expression == SCALE:
            return _SCALE
        if isinstance(expression, sp.Symbol):
            return self.case.eps if expression.name == "eps" else float(self._size(expression))
        if expression.is_Rational:
            return expression.p / expression.q if expression.q != 1 else int(expression)
        if isinstance(expression, sp.Sum):
            return self._total(expression)
        if isinstance(expression, sp.Pow):
            return _power(self.value(expression.base), expression.exp)
        values = [self.value(argument) for argument in expression.args]
        result = values[0]
        for value in values[1:]:
            result = result + value if isinstance(expression, sp.Add) else result * value
        return result

    def _size(self, symbol: sp.Symbol) -> int:
        letter = next(letter for letter, size in SIZES.items() if size == symbol)
        return int(np.prod([self.case.x.shape[k] for k in self._axes(letter)]))

    def _axes(self, letter: str) -> tuple[int, ...]:
        if letter == FEATURE.name:
            return (self.case.x.ndim,)
        axes = self.case.layout.axes
        return tuple(axes.index(axis) for axis in roles(self.case.layout).get(letter, ""))

    def _total(self, expression: sp.Sum) -> Any:
        axes = tuple(k for index, *_ in expression.limits for k in self._axes(index.name.rstrip("'")))
        body = self.value(expression.function)
        shape = [self._whole[k] if k in axes else size for k, size in enumerate(body.shape)]
        return (body + Radius.exact(np.zeros(shape), body.format)).sum(axes)

    @property
    def _whole(self) -> tuple[int, ...]:
        return (*self.case.x.shape, _FEATURES)

    def _named(self, label: str, symbol: sp.Indexed) -> Radius:
        name = label.rstrip(PRIME + TWICE + OWN)
        changes = self.theorem.changes.get(label[-1], {})
        place = OWN if label.endswith(OWN) else tuple(changes.items())
        if place not in self.computed:
            self.computed[place] = self._own() if place == OWN else self._at(changes)
        known = self.computed[place]
        found = known[name] if name in known else self._drawn(symbol)
        return found if len(found.shape) == len(self._whole) else found.reshape(*found.shape, 1)

    def _drawn(self, symbol: sp.Indexed) -> Radius:
        """Random numbers for what is arbitrary: a shift, weights, a second direction."""
        axes = [k for index in symbol.indices if index != ALONE for k in self._axes(index.name.rstrip("'"))]
        shape = [size if k in axes else 1 for k, size in enumerate(self._whole)]
        drawn = np.random.default_rng(list(str(symbol.base.label).encode())).normal(size=shape)
        return Radius.exact(drawn, _FORMAT)

    def _at(self, changes: Mapping[str, sp.Expr]) -> dict[str, Any]:
        """The values of the layer at other inputs."""
        stands = {name: self.value(expression) for name, expression in changes.items()}
        case = replace(self.case, eps=float(stands.pop("eps", self.case.eps)))
        instead = {}
        for name, value in stands.items():
            shape = case.x.shape if name in ("x", X_TANGENT) else (1,) * case.x.ndim
            whole = Radius.exact(np.zeros(shape), _FORMAT)
            instead[name] = whole + (value.reshape(*value.shape[:-1]) if isinstance(value, Radius) else value)
        return enclosed(self.theorem.derivation.layer, case, _FORMAT, **instead)

    def _own(self) -> dict[str, Any]:
        """The values of the layer of which this one is the jvp."""
        assert self.theorem.own is not None
        layer = self.theorem.own.layer
        parameters = {name: np.asarray(value) for name, value in self.case.parameters.items()}
        given = {name: parameters.get(name, parameters.get(f"{name}_tangent")) for name in self.theorem.own.inputs}
        present: dict[str, Array] = {n: v for n, v in given.items() if v is not None and n != "x"}
        return enclosed(layer, replace(self.case, parameters=present), _FORMAT)


def _power(base: Any, exponent: sp.Rational) -> Any:
    """An integer or half-integer power."""
    root = np.sqrt(base) if exponent.q == 2 else base
    power = root ** abs(int(exponent.p)) if abs(exponent.p) != 1 else root
    return power if exponent > 0 else 1 / power
