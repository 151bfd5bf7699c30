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

from bncheck.case import X_TANGENT, Array, Case, Layout, checked_eps
from bncheck.errors import InvalidInput
from bncheck.formats import DTYPES, Format
from bncheck.layers import Layer


@dataclass(frozen=True)
class Reach:
    """How far from 1 numbers are drawn: up to which power of the smallest and of the largest that a dtype has."""

    format: Format
    power: float


Regime = Callable[[np.random.Generator, tuple[int, ...], Layout, Reach], Array]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def _ordinary(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
    return _normal(rng, shape) * rng.uniform(0.3, 3) + rng.normal()


def _large_offset(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
    return _normal(rng, shape) + 10 ** rng.uniform(1, 3)


def _tiny_variance(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
    return _normal(rng, shape) * 10 ** rng.uniform(-4, -2) + rng.normal() * 0.01


def _constant_group(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
    x = _ordinary(rng, shape, layout, reach)
    first = tuple(slice(None) if k in layout.reduced_axes else 0 for k in range(len(shape)))
    x[first] = rng.integers(-2, 3)
    return x


def _huge(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
    return _normal(rng, shape) * float(np.power(reach.format.largest, rng.uniform(0.2, reach.power)))


def _tiny(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
    return _normal(rng, shape) * float(np.power(reach.format.normal, rng.uniform(0.2, reach.power)))


def _outliers(rng: np.random.Generator, shape: tuple[int, ...], layout: Layout, reach: Reach) -> Array:
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

TAME = ("ordinary", "large-offset", "tiny-variance", "constant-group", "outliers")
"""The regimes that leave no dtype's range, whatever is computed."""

UPSTREAM = ("random", "constant")
"""What dy holds: random numbers, or one number throughout, on which the true dx vanishes."""


LARGEST = 10_000_000
"""How many elements x may have."""


@dataclass(frozen=True)
class Recipe:
    """What a generated case is made from; `str` and `parse` are inverse.

    >>> from bncheck.layers import LAYERS
    >>> recipe = Recipe(Layout("NC", "N", "C"), (2, 1))
    >>> str(recipe)
    'NC:N:C/2x1/float64/1e-05/ordinary/random/affine/0'
    >>> Recipe.parse(str(recipe)) == recipe
    True
    >>> recipe.build(LAYERS["batch_norm"]).x.shape
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

    def build(self, layer: Layer) -> Case:
        """The case, with random values for the layer's parameters, where the recipe has any, and its state."""
        rng = np.random.default_rng(self.seed)
        fmt = Format.of(self.dtype)
        reach = Reach(fmt, 0.4 if layer.primal is None else 0.24)  # a second derivative has fourth powers of 1/σ
        x = np.clip(REGIMES[self.regime](rng, self.shape, self.layout, reach), -fmt.largest, fmt.largest)
        constant = self.upstream == "constant"
        return completed(
            x.astype(DTYPES[self.dtype]), layer, self.layout, rng, self.eps, str(self), self.affine, constant
        )


def sampled(
    layer: Layer,
    count: int = 25,
    *,
    seed: int = 0,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    regimes: tuple[str, ...] = tuple(REGIMES),
) -> list[Case]:
    """So many cases, drawn evenly, for where Hypothesis does not run the test; the same seed gives the same.

    >>> from bncheck.layers import LAYERS
    >>> [case.x.shape for case in sampled(LAYERS["batch_norm"], 2)]
    [(2, 1, 1, 1), (3, 4, 4, 3)]
    """
    rng = np.random.default_rng(seed)

    def shape(layout: Layout) -> tuple[int, ...]:
        most = 16 if len(layout.axes) == 2 else 5
        return tuple(int(n) for n in rng.integers([2 if axis in layout.reduced else 1 for axis in layout.axes], most))

    def one() -> Case:
        layout = layer.layouts[int(rng.integers(len(layer.layouts)))]
        dtype, regime = str(rng.choice(dtypes)), str(rng.choice(regimes))
        eps = float(rng.choice(EPS))
        return Recipe(layout, shape(layout), dtype, eps, regime, seed=int(rng.integers(2**32))).build(layer)

    return [one() for _ in range(count)]


def completed(
    x: Array,
    layer: Layer,
    layout: Layout,
    rng: np.random.Generator,
    eps: float,
    origin: str,
    affine: bool = True,
    constant: bool = False,
) -> Case:
    """A case of a layer from its x: dy, the parameters, the state and all else that the layer takes are drawn.

    Running statistics are near those of x, as after some training; new weights are powers of two, so that each
    framework's convention states them exactly.
    """
    dy = rng.standard_normal(x.shape)
    if constant:
        dy = np.full(x.shape, dy.flat[0])
    sizes, statistic = layout.parameter_shape(x.shape), layout.statistic_shape(x.shape)
    names = layer.parameters if affine else tuple(name for name in layer.parameters if name == X_TANGENT)
    parameters = {name: rng.normal(size=x.shape if name == X_TANGENT else sizes) for name in names}
    wide = x.astype(np.float64)
    middle, spread = wide.mean(axis=layout.shared_axes), wide.std(axis=layout.shared_axes)
    state = {}
    for name in layer.state:
        square = name.endswith(("var", "square"))
        factor = rng.uniform(0.5, 2, size=sizes) if square else rng.normal(size=sizes)
        state[name] = spread**2 * factor if square else middle + spread * factor
    settings = dict(layer.settings)
    for name in (name for name in layer.settings if name in SETTINGS):
        settings[name] = SETTINGS[name][int(rng.integers(len(SETTINGS[name])))]
    if layout.count(x.shape) <= settings.get("ddof", 0):
        settings["ddof"] = 0
    arriving = {name: rng.normal(size=statistic) for name in layer.outputs if name != "y"}

    def rounded(arrays: Mapping[str, Array]) -> dict[str, Array]:
        limit = Format.of(x.dtype).largest
        return {name: np.clip(array, -limit, limit).astype(x.dtype) for name, array in arrays.items()}

    return Case(
        layout,
        x,
        dy.astype(x.dtype),
        rounded(parameters),
        eps,
        origin,
        rounded(state),
        settings,
        rounded(arriving),
    )


EPS = (1e-5, 1.0, 1e-1, 1e-3, 1e-8, 1e-12)
"""The values of eps that are drawn; the simplest comes first."""

SETTINGS: Mapping[str, tuple[float, ...]] = MappingProxyType({"new_weight": (1 / 8, 1 / 4, 1 / 64), "ddof": (0, 1)})
"""The values that are drawn for settings, by name; others keep their default."""
