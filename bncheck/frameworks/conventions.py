"""Frameworks and their conventions, stated once; and a case posed as one of them wants it.

Whatever differs only in words is settled here: whether momentum weighs the new batch or the old value, which variance
is averaged, whether channels come first or last. So the files beside this one only make the calls.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bncheck.case import X_TANGENT, Array, Case, Gradients
from bncheck.errors import InvalidInput, MissingPackage
from bncheck.tangents import tangent_of


@dataclass(frozen=True)
class Framework:
    """What a framework's batch norm means by its arguments, and which packages it takes.

    `weighs` says what momentum weighs, the new batch or the old value; `ddof` which variance is averaged, 0 for the
    population's; `eps` and `momentum` are the defaults. Each of `packages` may name several, of which one is enough.
    tests/test_frameworks.py holds every entry against what is installed.
    """

    name: str
    title: str
    extra: str
    packages: tuple[tuple[str, ...], ...]
    eps: float
    momentum: float
    weighs: str
    ddof: int
    channels: str

    @property
    def missing(self) -> str:
        """The first package that it takes and that cannot be imported; empty where there is none."""
        return next((names[0] for names in self.packages if not any(map(_installed, names))), "")

    def required(self) -> Framework:
        """This framework.

        Raises
            MissingPackage: one of its packages is not installed.
        """
        if self.missing:
            raise MissingPackage(self.missing, self.extra, f"--against {self.name}")
        return self

    def momentum_for(self, new_weight: float) -> float:
        """The momentum that gives the new batch this weight.

        >>> FRAMEWORKS["torch"].momentum_for(0.125), FRAMEWORKS["keras"].momentum_for(0.125)
        (0.125, 0.875)
        """
        return new_weight if self.weighs == "new" else 1 - new_weight

    def pose(self, case: Case, layer: str) -> Posed:
        """The case as this framework wants it; `layer` by the name of its definition or of its jvp."""
        layout = case.layout
        momentum = self.momentum_for(case.settings.get("new_weight", 1.0))
        if trailing(layer):
            kept = (k for k in range(case.x.ndim) if k not in layout.reduced_axes)
            return Posed(case, layer, (*kept, *layout.reduced_axes), (), momentum)
        sample, *rest = layout.shared_axes
        channels = layout.affine_axes
        order = (sample, *channels, *rest) if self.channels == "first" else (sample, *rest, *channels)
        return Posed(case, layer, order, channels, momentum)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


FRAMEWORKS: Mapping[str, Framework] = MappingProxyType(
    {
        framework.name: framework
        for framework in (
            Framework("torch", "PyTorch", "torch", (("torch",),), 1e-5, 0.1, "new", 1, "first"),
            Framework("jax", "JAX and Flax", "jax", (("jax",), ("flax",)), 1e-5, 0.99, "old", 0, "last"),
            Framework("keras", "Keras", "keras", (("keras",), ("torch", "jax")), 1e-3, 0.99, "old", 0, "last"),
            Framework(
                "onnxruntime", "ONNX Runtime", "onnx", (("onnxruntime",), ("onnx",)), 1e-5, 0.9, "old", 0, "first"
            ),
        )
    }
)
"""Each framework by the name that `verify --against` takes."""


def named_frameworks(names: Iterable[str]) -> tuple[Framework, ...]:
    """The frameworks of these names, all of them installed.

    Raises
        InvalidInput: a name that is none of the known ones.
        MissingPackage: one of them is not installed.

    >>> named_frameworks(["pytorch"])
    Traceback (most recent call last):
    ...
    bncheck.errors.InvalidInput: against=pytorch, expected one of torch, jax, keras, onnxruntime. Did you mean torch?
    """
    names = tuple(names)
    for name in names:
        if name not in FRAMEWORKS:
            raise InvalidInput.unknown("against", name, FRAMEWORKS, "Separate several by commas.")
    return tuple(framework.required() for name, framework in FRAMEWORKS.items() if name in names)


def trailing(layer: str) -> bool:
    """Whether a layer normalizes over its last axes, rather than within channels."""
    return layer.startswith(("layer_norm", "rms_norm"))


def fits(case: Case, layer: str) -> bool:
    """Whether frameworks have this layer on the case's layout; a case of one's own may have any."""
    layout = case.layout
    affine, reduced, kept = set(layout.affine), set(layout.reduced), set(layout.kept)
    if trailing(layer):
        return affine == reduced
    if layer.startswith("batch_norm"):
        return affine == kept
    if layer.startswith("instance_norm"):
        return affine < kept and len(kept) == 2
    return len(affine) == 2 and len(affine & reduced) == 1 and len(kept) == 2


@dataclass(frozen=True)
class Posed:
    """A case with its axes where a framework expects them: (N, C, ...), (N, ..., C), or normalized axes last.

    `order` says which of the case's axes go where, and `channels` which of them become one.
    """

    case: Case
    layer: str
    order: tuple[int, ...]
    channels: tuple[int, ...]
    momentum: float

    @property
    def eps(self) -> float:
        """The case's eps."""
        return self.case.eps

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of x as the framework gets it."""
        sizes = []
        for k in self.order:
            if k not in self.channels:
                sizes.append(self.case.x.shape[k])
            elif k == self.channels[0]:
                sizes.append(math.prod(self.parameter_shape))
        return tuple(sizes)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """The shape of γ and β as the framework gets them."""
        sizes = self.case.layout.parameter_shape(self.case.x.shape)
        return (math.prod(sizes),) if self.channels else sizes

    @property
    def groups(self) -> int:
        """How many groups the channels of group norm make."""
        return int(self.case.x.shape[self.channels[0]])

    @property
    def primals(self) -> dict[str, Array]:
        """x, and those of γ and β that there are; β is 0 where only its tangent is given."""
        given = self._posed({"x": self.case.x, **self.case.parameters})
        beta = {"beta": np.zeros_like(given[tangent_of("beta")])} if tangent_of("beta") in given else {}
        return {name: value for name, value in {**given, **beta}.items() if name in ("x", "gamma", "beta")}

    @property
    def tangents(self) -> dict[str, Array]:
        """The direction of a jvp, by the name of what it is the tangent of."""
        given = self._posed(self.case.parameters)
        return {name: given[tangent_of(name)] for name in self.primals if tangent_of(name) in given}

    @property
    def state(self) -> dict[str, Array]:
        """The running statistics."""
        return self._posed(self.case.state)

    @property
    def renewed(self) -> tuple[str, ...]:
        """Those of the running statistics that the layer moves: none in evaluation mode."""
        return tuple(self.case.state) if self.layer == "batch_norm_running" else ()

    @property
    def dy(self) -> Array:
        """The gradient that arrives."""
        return self._posed({"x": self.case.dy})["x"]

    def _posed(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Copies that may be written to."""

        def posed(name: str, array: Array) -> Array:
            if name in ("x", X_TANGENT):
                return array.transpose(self.order).reshape(self.shape)
            return array.reshape(self.parameter_shape)

        return {name: np.array(posed(name, array), order="C") for name, array in arrays.items()}

    def answer(self, results: Mapping[str, Array]) -> Gradients:
        """What a framework returned, in the case's own axes; what the case does not ask for is left out."""
        back = np.argsort(self.order)
        sizes = [self.case.x.shape[k] for k in self.order]
        wanted = {"y", *self.case.gradient_names, *(f"new_{name}" for name in self.renewed)}
        large = ("y", "dx", f"d{X_TANGENT}")
        return {
            name: value.reshape(sizes).transpose(back) if name in large else value.reshape(self.case.shape_of(name))
            for name, value in ((n, np.asarray(v)) for n, v in results.items() if n in wanted)
        }
