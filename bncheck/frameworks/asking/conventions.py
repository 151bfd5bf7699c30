"""What a framework's convention is made of, and a case posed as one of them wants it.

Whatever differs only in words is settled here: whether momentum weighs the new batch or the old value, which variance
is averaged, whether channels come first or last. So the file of a framework only makes the calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bncheck.case import X_TANGENT, Array, Case, Gradients, Layout
from bncheck.errors import MissingPackage
from bncheck.frameworks.asking.packages import installed
from bncheck.layers import Layer
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
        return next((names[0] for names in self.packages if not any(map(installed, names))), "")

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

        >>> keras = Framework("keras", "Keras", "keras", (), 1e-3, 0.99, weighs="old", ddof=0, channels="last")
        >>> keras.momentum_for(0.125)
        0.875
        """
        return new_weight if self.weighs == "new" else 1 - new_weight

    def pose(self, case: Case, layer: Layer) -> Posed:
        """The case as this framework wants it."""
        layout = case.layout
        momentum = self.momentum_for(case.settings.get("new_weight", 1.0))
        if kind(layer.layouts[0]) == "trailing":
            kept = (k for k in range(case.x.ndim) if k not in layout.reduced_axes)
            return Posed(case, layer, (*kept, *layout.reduced_axes), (), momentum)
        sample, *rest = layout.shared_axes
        channels = layout.affine_axes
        order = (sample, *channels, *rest) if self.channels == "first" else (sample, *rest, *channels)
        return Posed(case, layer, order, channels, momentum)


def kind(layout: Layout) -> str:
    """What frameworks call a layer on a layout, told by which axes it reduces and along which γ varies; or "".

    >>> kind(Layout("NCHW", "NHW", "C")), kind(Layout("ND", "D", "D")), kind(Layout("NLDK", "K", "L"))
    ('batch', 'trailing', '')
    """
    affine, reduced, kept = set(layout.affine), set(layout.reduced), set(layout.kept)
    if affine == reduced:
        return "trailing"
    if affine == kept:
        return "batch"
    if len(kept) != 2:
        return ""
    if affine < kept:
        return "instance"
    return "group" if len(affine) == 2 and len(affine & reduced) == 1 else ""


def fits(case: Case, layer: Layer) -> bool:
    """Whether frameworks have this layer on the case's layout; a case of one's own may have any."""
    return kind(case.layout) == kind(layer.layouts[0]) != ""


@dataclass(frozen=True)
class Posed:
    """A case with its axes where a framework expects them: (N, C, ...), (N, ..., C), or normalized axes last.

    `order` says which of the case's axes go where, and `channels` which of them become one.
    """

    case: Case
    layer: Layer
    order: tuple[int, ...]
    channels: tuple[int, ...]
    momentum: float

    @property
    def primal(self) -> Layer:
        """The layer, or that of which it is the jvp."""
        return self.layer.primal or self.layer

    @property
    def evaluates(self) -> bool:
        """Whether the layer keeps to running statistics and leaves them as they are."""
        return bool(self.primal.state) and not self.renewed

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
        return tuple(self.case.state) if "new_weight" in self.layer.settings else ()

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
