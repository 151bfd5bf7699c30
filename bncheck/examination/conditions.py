"""Conditions under which bugs show that no ordinary case shows: sizes, values, scales, eps, and the order of memory.

Each condition is one case that differs from an ordinary one in one respect, and says in plain words in which. Where
that is a number, a dial turns it, so that the bound from which on something is wrong can be found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from types import MappingProxyType

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.examination.constants import Constants
from bncheck.examination.subjects import Subject, fitting
from bncheck.formats import Format
from bncheck.inputs.recipes import EPS, TAME, Recipe
from bncheck.inputs.sizes import FEW, TELLING
from bncheck.layers import Layer
from bncheck.targets.calls import ORDERS, Target

MOST = 1 << 18
"""How many elements x has at most: so few that even a loop in Python is through with them in a moment."""


@dataclass(frozen=True)
class Effort:
    """How much is asked beside the usual cases: how many more are drawn, for how long, and in how many sizes."""

    cases: int = 0
    thorough: bool = False
    seconds: float = 60.0

    @classmethod
    def of(cls, cases: int, *, thorough: bool) -> Effort:
        """The effort that options ask for: minutes where it is to be thorough, else seconds."""
        return cls(cases, thorough, _MINUTES if thorough else cls.seconds)


_MINUTES = 300.0


@dataclass(frozen=True)
class Dial:
    """The number that a condition sets: what it is, where it is usual, where it is here, and the case that it makes."""

    words: str
    usual: float
    here: float
    at: Callable[[float], Case] = field(repr=False)
    whole: bool = True


@dataclass(frozen=True)
class Condition:
    """One case, and in plain words in which respect it differs from others; `order` is that of arrays in memory."""

    name: str
    case: Case
    dial: Dial | None = None
    order: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_be_refused(self) -> bool:
        """Whether a layer may decline it: a single sample, or value in a mean, has no statistics to speak of."""
        return self.case.count == 1 or self.case.x.shape[0] == 1


def conditions(
    subject: Subject, layer: Layer, layout: Layout, dtype: str, seed: int, effort: Effort, constants: Constants
) -> Iterator[Condition]:
    """Every condition in one layout and dtype, the small ones first.

    >>> from bncheck.bugs.catalogue.bug import correct
    >>> from bncheck.examination.subjects import Given
    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> subject = Given(correct, layer.layouts)
    >>> some = conditions(subject, layer, layer.layouts[0], "float64", 0, Effort(), Constants())
    >>> [condition.name for condition in some][:3]
    ['N = 1', 'N = 2', 'N = 3']
    """
    room = _Room(subject, layer, layout, dtype, seed)
    if compiles(subject) and not effort.thorough:  # every new shape costs as much as a hundred of the usual calls
        yield from chain(_values(room), _scales(room, effort), _epsilons(room), _near(room, constants))
        yield from (_of_axis(room, axis, size) for axis in room.free[:1] for size in _COSTLY_SIZES)
        return
    sized = list(chain(_sizes(room, effort, constants), _equal(room), _few(room)))
    yield from (one for one in sized if one.case.x.size <= _SMALL)
    yield from chain(
        _values(room), _scales(room, effort), _epsilons(room), _near(room, constants), _orders(room, effort)
    )
    yield from (one for one in sized if one.case.x.size > _SMALL)
    yield from _drawn(room, effort)


_SMALL = 1 << 11


def compiles(subject: Subject) -> bool:
    """Whether what it is asked is compiled for every shape anew."""
    return isinstance(subject, Target) and subject.plan.family == "jax"


@dataclass(frozen=True)
class _Room:
    """Whom conditions are for: the layout and the dtype, and which sizes are free."""

    subject: Subject
    layer: Layer
    layout: Layout
    dtype: str
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The usual sizes."""
        return fitting(self.subject, self.layout, FEW)

    @property
    def free(self) -> list[str]:
        """The axes of which the target takes any size."""
        fixed = self.subject.fixed_sizes(self.layout)
        return [axis for axis in self.layout.axes if axis not in fixed]

    @property
    def takes_eps(self) -> bool:
        """Whether its eps is the case's."""
        return not self.subject.eps and (not isinstance(self.subject, Target) or self.subject.plan.takes_eps)

    def sized(self, sizes: Mapping[str, int], origin: str = "", regime: str = "ordinary") -> Case:
        """A case in the usual sizes but for some."""
        shape = tuple(sizes.get(axis, n) for axis, n in zip(self.layout.axes, self.shape, strict=True))
        return self.of_shape(shape, origin, regime)

    def of_shape(self, shape: tuple[int, ...], origin: str = "", regime: str = "ordinary", eps: float = 0.0) -> Case:
        """A case of some shape; where a mean covers few values, eps is large, for without it they tell nothing."""
        eps = eps or (0.5 if self.layout.count(shape) < 3 else EPS[0])
        recipe = Recipe(self.layout, shape, self.dtype, eps, regime, seed=self.seed)
        case = self.subject.adapted(recipe.build(self.layer))
        return replace(case, origin=f"{origin}, {'×'.join(map(str, shape))}" if origin else str(recipe))

    def usual(self) -> Case:
        """A case of which nothing is special."""
        return self.of_shape(fitting(self.subject, self.layout, TELLING))


_SIZES = (1, 2, 3, 4, 7, 16, 33, 64, 65, 257, 1031)
"""One and two; powers of two and what is left over beyond them; primes; beyond 64, 256 and 1024."""

_COSTLY_SIZES = (1, 65, 1031)
_MORE_SIZES = (*range(1, 42), 48, 49, 63, 64, 65, 96, 100, 101, 127, 128, 129, 200, 255, 256, 257, 500, 511, 512, 513)
_LARGE_SIZES = (1000, 1001, 1023, 1024, 1025, 1031, 2047, 2048, 2049, 4096, 4099)


def _sizes(room: _Room, effort: Effort, constants: Constants) -> Iterator[Condition]:
    """One axis of another size than usual, and those near the whole numbers that stand in the target's source."""
    usual = dict(zip(room.layout.axes, room.shape, strict=True))
    for axis in room.free:
        sizes = (*_MORE_SIZES, *_LARGE_SIZES) if effort.thorough else _SIZES
        for size in dict.fromkeys((*sizes, *constants.sizes(effort.thorough))):
            if size == usual[axis] or math.prod(room.shape) // usual[axis] * size > MOST:
                continue
            yield _of_axis(room, axis, size)


def _of_axis(room: _Room, axis: str, size: int) -> Condition:
    def at(number: float) -> Case:
        return room.sized({axis: int(number)}, f"{axis} = {int(number)}")

    usual = room.shape[room.layout.axes.index(axis)]
    return Condition(f"{axis} = {size}", at(size), Dial(axis, usual, size, at))


def _equal(room: _Room) -> Iterator[Condition]:
    """Two axes of the same size, small and not, and all; and two that are both large."""
    fixed = room.subject.fixed_sizes(room.layout)
    for first, second in combinations(room.layout.axes, 2):
        if first in room.free or second in room.free:
            own = fixed.get(first, fixed.get(second))
            for size in (5, 12) if own is None else (own,):
                name = f"{first} = {second}{'' if size < 12 else ' = 12'}"
                yield Condition(name, room.sized({first: size, second: size}, name))
    if len(room.free) > 2:
        yield Condition("all sizes alike", room.sized(dict.fromkeys(room.free, 4), "all sizes alike"))
    if len(room.free) > 1:
        first, last = room.free[0], room.free[-1]
        name = f"{first} = 48 and {last} = 45"
        yield Condition(name, room.sized({first: 48, last: 45}, name))


def _few(room: _Room) -> Iterator[Condition]:
    """One value and two in a mean, and no pixels."""
    reduced, pixels = room.layout.reduced, [axis for axis in "HWL" if axis in room.free]
    if len(reduced) > 1 and set(reduced) <= set(room.free):
        ones = dict.fromkeys(reduced, 1)
        yield Condition("m = 1", room.sized(ones, "m = 1"))
        yield Condition("m = 2", room.sized({**ones, reduced[-1]: 2}, "m = 2"))
    if len(pixels) > 1:
        yield Condition("H = W = 1", room.sized(dict.fromkeys(pixels, 1), "H = W = 1"))


Change = Callable[[Array, Case], Array]


def _constant_group(x: Array, case: Case) -> Array:
    first = tuple(slice(None) if k in case.layout.reduced_axes else 0 for k in range(x.ndim))
    x[first] = 1
    return x


def _one_apart(x: Array, case: Case) -> Array:
    x[...] = 0
    x[tuple(0 if k in case.layout.reduced_axes else slice(None) for k in range(x.ndim))] = 1
    return x


def _outlier(values: Array, case: Case) -> Array:
    values.flat[values.size // 2] = 1000
    return values


def _doubled(x: Array, case: Case) -> Array:
    x[1::2] = x[: len(x) // 2]
    return x


def _first_only(dy: Array, case: Case) -> Array:
    dy[1:] = 0
    return dy


def _first_zero(gamma: Array, case: Case) -> Array:
    gamma.flat[0] = 0
    return gamma


VALUES: Mapping[str, tuple[tuple[str, Change], ...]] = MappingProxyType(
    {
        "a group of which all values are equal": (("x", _constant_group),),
        "x of which all values are equal": (("x", lambda x, _: np.full_like(x, 2)),),
        "x = 0": (("x", lambda x, _: np.zeros_like(x)),),
        "x with exact zeros": (("x", lambda x, _: np.maximum(x, 0)),),
        "x negative throughout": (("x", lambda x, _: -np.abs(x) - 0.25),),
        "x positive throughout": (("x", lambda x, _: np.abs(x) + 0.25),),
        "x of whole numbers": (("x", lambda x, _: np.round(3 * x)),),
        "x of 1 and -1": (("x", lambda x, _: np.where(x > np.median(x), 1, -1)),),
        "x with one value apart from zeros": (("x", _one_apart),),
        "x with samples that repeat": (("x", _doubled),),
        "x with one value far from the others": (("x", _outlier),),
        "x in rising order": (("x", lambda x, _: np.sort(x, axis=None).reshape(x.shape)),),
        "x far above zero": (("x", lambda x, _: x + 100),),
        "x far below zero": (("x", lambda x, _: x - 100),),
        "dy = 0": (("dy", lambda dy, _: np.zeros_like(dy)),),
        "dy = 1": (("dy", lambda dy, _: np.ones_like(dy)),),
        "dy negative throughout": (("dy", lambda dy, _: -np.abs(dy)),),
        "dy positive throughout": (("dy", lambda dy, _: np.abs(dy)),),
        "dy with exact zeros": (("dy", lambda dy, _: np.maximum(dy, 0)),),
        "dy with one value far from the others": (("dy", _outlier),),
        "dy of the first sample alone": (("dy", _first_only),),
        "γ = 0": (("gamma", lambda gamma, _: np.zeros_like(gamma)),),
        "one γ = 0": (("gamma", _first_zero),),
        "γ negative throughout": (("gamma", lambda gamma, _: -np.abs(gamma)),),
        "γ positive throughout": (("gamma", lambda gamma, _: np.abs(gamma)),),
        "γ = 1 and β = 0": (
            ("gamma", lambda gamma, _: np.ones_like(gamma)),
            ("beta", lambda beta, _: np.zeros_like(beta)),
        ),
        "one γ for all": (("gamma", lambda gamma, _: np.full_like(gamma, 0.75)),),
        "β = 0": (("beta", lambda beta, _: np.zeros_like(beta)),),
        "β negative throughout": (("beta", lambda beta, _: -np.abs(beta)),),
        "β positive throughout": (("beta", lambda beta, _: np.abs(beta)),),
    }
)
"""What the arrays of a case may hold: by its name, each array that it changes, and how."""


def _values(room: _Room) -> Iterator[Condition]:
    case = room.usual()
    for name, changes in VALUES.items():
        own = {array: change for array, change in changes if array in ("x", "dy", *case.parameters)}
        if own:
            yield Condition(name, _changed(case, name, own))


def _changed(case: Case, name: str, changes: Mapping[str, Change]) -> Case:
    """A case with some arrays changed, by name."""

    def changed(array: str, value: Array) -> Array:
        return changes[array](np.array(value), case).astype(case.dtype) if array in changes else value

    learned = {array: changed(array, value) for array, value in case.parameters.items()}
    x, dy = changed("x", case.x), changed("dy", case.dy)
    return replace(case, x=x, dy=dy, parameters=learned, origin=name)


_SCALES = (1e-6, 1e-3, 1e3, 1e6)
_MORE_SCALES = (1e-12, 1e-9, 1e-4, 1e-2, 1e-1, 10, 30, 100, 300, 1e4, 1e5, 1e9, 1e12)


def _scales(room: _Room, effort: Effort) -> Iterator[Condition]:
    """Larger and smaller numbers, such that their squares are far from the ends of the format's range."""
    limit = Format.of(room.dtype).largest ** 0.2
    scales = sorted((*_SCALES, *_MORE_SCALES) if effort.thorough else _SCALES)
    for array in _held(room.usual()):
        yield from (_scaled(room, array, scale) for scale in scales if 1 / limit < scale < limit)


def _held(case: Case) -> list[str]:
    return ["x", "dy", *(name for name in case.parameters if name == "gamma")]


def _scaled(room: _Room, array: str, scale: float) -> Condition:
    words = f"the scale of {_SIGN.get(array, array)}"

    def at(number: float) -> Case:
        return _changed(room.usual(), f"{words} = {number:.3g}", {array: lambda value, _: value * number})

    return Condition(f"{words} = {scale:g}", at(scale), Dial(words, 1.0, scale, at, whole=False))


_SIGN = {"gamma": "γ", "beta": "β"}
_EPSILONS = (1e-12, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


def _epsilons(room: _Room) -> Iterator[Condition]:
    if room.takes_eps:
        yield from (_of_eps(room, eps) for eps in _EPSILONS)


def _of_eps(room: _Room, eps: float) -> Condition:
    def at(number: float) -> Case:
        return replace(room.usual(), eps=number, origin=f"eps = {number:.3g}")

    return Condition(f"eps = {eps:g}", at(eps), Dial("eps", EPS[0], eps, at, whole=False))


def _near(room: _Room, constants: Constants) -> Iterator[Condition]:
    """Numbers on both sides of those that the target compares with."""
    limit = Format.of(room.dtype).largest ** 0.2
    for bound in (bound for bound in constants.bounds if 1 / limit < bound < limit):
        for array in _held(room.usual()):
            yield from (_scaled(room, array, factor * bound) for factor in (0.1, 4))
        yield from (_scaled(room, "x", factor * math.sqrt(bound)) for factor in (0.25, 4))
        if room.takes_eps:
            yield from (_of_eps(room, factor * bound) for factor in (0.5, 2))


_ORDERED = {
    "Fortran": "in Fortran order",
    "strided": "with gaps in memory",
    "reversed": "in reversed memory",
    "fixed": "that is read-only",
}


def _orders(room: _Room, effort: Effort) -> Iterator[Condition]:
    """Arrays that lie otherwise in memory, where the target's arrays can; torch's parameters never do.

    On a CPU, torch 2.13's own batch_norm gives a wrong dx for a γ with gaps in memory, which is nobody else's bug.
    """
    family = room.subject.plan.family if isinstance(room.subject, Target) else ""
    orders = {"numpy": ORDERS, "torch": ORDERS[:2]}.get(family, ())  # torch has no negative strides
    cases = [room.usual()] if not effort.thorough else [room.usual(), room.sized({}), room.sized({room.free[0]: 65})]
    for case in cases if room.free else cases[:1]:
        learned = () if family == "torch" else tuple(case.parameters)
        for order in orders:
            for arrays in (("x",), ("dy",), ("x", "dy"), *((learned,) if learned and order != "Fortran" else ())):
                name = f"{' and '.join(_SIGN.get(array, array) for array in arrays)} {_ORDERED[order]}"
                yield Condition(name, replace(case, origin=name), order=dict.fromkeys(arrays, order))


def _drawn(room: _Room, effort: Effort) -> Iterator[Condition]:
    """Cases that are drawn as `verify` draws them, in the sizes that the target takes."""
    rng = np.random.default_rng(room.seed)
    fixed = room.subject.fixed_sizes(room.layout)
    for _ in range(effort.cases):
        most = 16 if len(room.layout.axes) == 2 else 5
        lows = [2 if axis in room.layout.reduced else 1 for axis in room.layout.axes]
        shape = [int(n) for n in rng.integers(lows, most)]
        shape = [fixed.get(axis, n) for axis, n in zip(room.layout.axes, shape, strict=True)]
        regime, eps = str(rng.choice(TAME)), float(rng.choice(EPS))
        recipe = Recipe(room.layout, tuple(shape), room.dtype, eps, regime, seed=int(rng.integers(2**32)))
        yield Condition(str(recipe), room.subject.adapted(recipe.build(room.layer)))
