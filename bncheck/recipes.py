"""Recipes: a case in one line of text, which builds the same arrays on every machine.

A recipe says the layout, the sizes, the dtype, eps, whether there are parameters, the regime, meaning what kind of
numbers x holds, and the seed that draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bncheck.case import DTYPES, Array, Case, Layout, checked_eps
from bncheck.errors import InvalidInput

Regime = Callable[[np.random.Generator, tuple[int, ...], Layout, str], Array]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def _ordinary(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    return _normal(rng, shape) * rng.uniform(0.3, 3) + rng.normal()


def _large_offset(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    return _normal(rng, shape) + 10 ** rng.uniform(1, 3)


def _tiny_variance(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    return _normal(rng, shape) * 10 ** rng.uniform(-4, -2) + rng.normal() * 0.01


def _constant_group(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    x = _ordinary(rng, shape, layout, dtype)
    first = tuple(slice(None) if k in layout.reduced_axes else 0 for k in range(len(shape)))
    x[first] = rng.integers(-2, 3)
    return x


def _huge(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    return _normal(rng, shape) * float(np.power(float(np.finfo(dtype).max), rng.uniform(0.2, 0.4)))


def _tiny(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    return _normal(rng, shape) * float(np.power(float(np.finfo(dtype).tiny), rng.uniform(0.2, 0.4)))


def _outliers(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, dtype: str) -> Array:
    x = _normal(rng, shape)
    x.reshape(-1)[rng.integers(0, x.size, size=1 + x.size // 20)] *= 100
    return x


REGIMES: Mapping[str, Regime] = MappingProxyType(
    {
        "ordinary": _ordinary,
        "large-offset": _large_offset,
        "tiny-variance": _tiny_variance,
        "constant-group": _constant_group,
        "huge": _huge,
        "tiny": _tiny,
        "outliers": _outliers,
    }
)

UPSTREAM = ("random", "constant")
"""What dy holds: random numbers, or one number throughout, on which the true dx vanishes."""


LARGEST = 10_000_000
"""How many elements x may have."""


@dataclass(frozen=True)
class Recipe:
    """What a generated case is made from; `str` and `parse` are inverse.

    >>> recipe = Recipe(Layout("NC", "N", "C"), (2, 1))
    >>> str(recipe)
    'NC:N:C/2x1/float64/1e-05/ordinary/random/affine/0'
    >>> Recipe.parse(str(recipe)) == recipe
    True
    >>> recipe.build(("gamma", "beta")).x.shape
    (2, 1)

    Raises
        InvalidInput: an unknown dtype, regime or upstream, a size below 1, a negative seed, or sizes that do not fit.
    """

    layout: Layout
    shape: tuple[int, ...]
    dtype: str = "float64"
    eps: float = 1e-5
    regime: str = "ordinary"
    upstream: str = "random"
    affine: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("dtype", self.dtype, DTYPES),
            ("regime", self.regime, REGIMES),
            ("upstream", self.upstream, UPSTREAM),
        ):
            if value not in known:
                raise InvalidInput.unknown(name, value, known)
        if len(self.shape) != len(self.layout.axes) or any(size < 1 for size in self.shape):
            constraint = f"a size of at least 1 for each axis of {self.layout}"
            raise InvalidInput("shape", self.shape, constraint, "8x4 for NC, for example.")
        if math.prod(self.shape) > LARGEST:
            raise InvalidInput(
                "shape", self.shape, f"at most {LARGEST:,} elements", "Smaller sizes find the same bugs."
            )
        checked_eps(self.eps)
        if self.seed < 0:
            raise InvalidInput("seed", self.seed, "a whole number of at least 0", "0, for example.")

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        affine = "affine" if self.affine else "plain"
        eps = repr(self.eps).removesuffix(".0")
        return "/".join([str(self.layout), shape, self.dtype, eps, self.regime, self.upstream, affine, str(self.seed)])

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe that `str` wrote."""
        parts = text.split("/")
        form = "layout/sizes/dtype/eps/regime/upstream/affine|plain/seed"
        if len(parts) != 8 or parts[6] not in ("affine", "plain"):
            raise InvalidInput("case", text, form, "For example NC:N:C/8x4/float64/1e-05/ordinary/random/affine/0.")
        layout, shape, dtype, eps, regime, upstream, affine, seed = parts
        try:
            sizes = tuple(int(size) for size in shape.split("x"))
            number, whole = float(eps), int(seed)
        except ValueError:
            raise InvalidInput("case", text, form, "Sizes and seed are whole numbers, eps is a number.") from None
        return cls(Layout.parse(layout), sizes, dtype, number, regime, upstream, affine == "affine", whole)

    def build(self, parameters: tuple[str, ...]) -> Case:
        """The case, with random values for the named parameters where the recipe has any."""
        rng = np.random.default_rng(self.seed)
        dtype = DTYPES[self.dtype]
        limit = float(np.finfo(dtype).max)
        x = np.clip(REGIMES[self.regime](rng, self.shape, self.layout, self.dtype), -limit, limit).astype(dtype)
        dy = rng.standard_normal(self.shape)
        if self.upstream == "constant":
            dy = np.full(self.shape, dy.flat[0])
        sizes = self.layout.parameter_shape(self.shape)
        drawn = {name: rng.normal(size=sizes).astype(dtype) for name in parameters} if self.affine else {}
        return Case(self.layout, x, dy.astype(dtype), drawn, self.eps, str(self))
