"""Every layer of the family as a part of a network: forward its definition, backward the code lowered from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Layout
from bncheck.errors import InvalidInput
from bncheck.layers import LAYERS, Layer
from bncheck.trace import trace
from bncheck.training.networks.modules import Module

if TYPE_CHECKING:
    from bncheck.oracles.symbolic.lowering import Lowered

LAYOUTS: Mapping[str, Mapping[int, Layout]] = MappingProxyType(
    {
        "batch_norm": {2: Layout("NC", "N", "C"), 4: Layout("NHWC", "NHW", "C")},
        "layer_norm": {2: Layout("ND", "D", "D"), 4: Layout("NHWC", "HWC", "HWC")},
        "instance_norm": {4: Layout("NHWC", "HW", "C")},
        "group_norm": {2: Layout("NGK", "K", "GK"), 4: Layout("NHWGK", "HWK", "GK")},
        "rms_norm": {2: Layout("ND", "D", "D"), 4: Layout("NHWC", "HWC", "HWC")},
    }
)
"""For each layer its layout on rows of features and on images, by the number of axes."""

MODES: Mapping[str, tuple[str, str]] = MappingProxyType({"batch_norm": ("batch_norm_running", "batch_norm_eval")})
"""Which layer stands for one in training and which in evaluation, where these are two."""


class Mode(NamedTuple):
    """A layer in training or in evaluation: its settings, its compiled backward pass, and what need not be kept for it.

    `dropped` names those results of the definition that are as large as x and that the backward pass does not take.
    """

    layer: Layer
    settings: Mapping[str, float]
    lowered: Lowered
    dropped: tuple[str, ...]


class Normalization(Module):
    """A layer of the family.

    γ and β begin at 1 and 0, a running mean and variance at 0 and 1, of which a training step makes one step,
    `new_weight` being the weight of the new batch. `eps` may be 0. What the last forward pass computed stays in
    `known`, by the names of the definition, as far as the backward pass needs it or it is smaller than x.

    Shapes
        x: (N, features), or (N, H, W, channels); `features` is (features,) or (H, W, channels)

    Raises
        InvalidInput: a layer that is none of `LAYOUTS`, or that has no layout for so many axes.

    >>> norm = Normalization("batch_norm", (1,), eps=0)
    >>> norm.forward(np.array([[1.0], [3.0]]), training=True).ravel().tolist()
    [-1.0, 1.0]
    >>> {name: value.item() for name, value in norm.state.items()}
    {'running_mean': 0.2, 'running_var': 1.0}
    """

    def __init__(
        self,
        name: str,
        features: tuple[int, ...],
        *,
        eps: float = 1e-5,
        new_weight: float = 0.1,
        groups: int = 1,
        affine: bool = True,
        dtype: Any = np.float64,
    ) -> None:
        if name not in LAYOUTS:
            raise InvalidInput.unknown("normalization", name, LAYOUTS)
        layouts = LAYOUTS[name]
        if len(features) + 1 not in layouts:
            raise InvalidInput("features", features, f"{min(layouts) - 1} sizes for {name}", "(H, W, channels).")
        self.layout = layouts[len(features) + 1]
        if name == "group_norm":
            features = (*features[:-1], groups, features[-1] // groups)
        self.features, self.eps = features, eps
        training, evaluation = (LAYERS[mode] for mode in MODES.get(name, (name, name)))
        varying = [axis in self.layout.affine for axis in self.layout.axes]
        shape = tuple(n if along else 1 for n, along in zip((1, *features), varying, strict=True))
        learned = training.parameters if affine else ()
        super().__init__(**{n: np.full(shape, training.default(n), dtype) for n in learned})
        self.state: dict[str, Any] = {n: np.full(shape, training.default(n), dtype) for n in training.state}
        settings = {"new_weight": new_weight} if training.state else {}
        self.modes = {True: self._mode(training, settings), False: self._mode(evaluation, {})}
        self.known: dict[str, Any] = {}

    def _mode(self, layer: Layer, settings: Mapping[str, float]) -> Mode:
        from bncheck.oracles.symbolic.lowering import lower

        lowered = lower(layer, self.layout, tuple(self.parameters))
        taken = {*lowered.arguments, *lowered.saved_arguments}
        named = trace(layer, self.layout, tuple(self.parameters)).named
        large = (name for name, node in named.items() if set(node.axes) == set(self.layout.axes))
        return Mode(layer, settings, lowered, tuple(name for name in large if name not in taken))

    @property
    def statistics(self) -> tuple[Any, Any]:
        """The mean and the variance of the last batch, in shapes that broadcast against x."""
        return self.known["mean"], self.known["var"]

    def forward(self, x: Any, training: bool) -> Any:
        """The definition on this batch; in training the running statistics make a step."""
        self.shape, self.mode = x.shape, self.modes[training]
        x = x.reshape(x.shape[0], *self.features)
        axes, count = self.layout.reduced_axes, self.layout.count(x.shape)

        def mean(values: Any) -> Any:
            return values.sum(axis=axes, keepdims=True) / count

        given = {**self.parameters, **self.state, **self.mode.settings}
        named = self.mode.layer.forward(x, given, self.eps, mean=mean, sqrt=np.sqrt, count=count)
        y = named["y"]
        if training:
            for name in self.state:
                self.state[name] = named[f"new_{name}"]
        for name in self.mode.dropped:
            del named[name]
        self.known = {**given, **named, "x": x, "eps": self.eps}
        return y.reshape(*self.shape)

    def backward(self, dy: Any) -> Any:
        """The compiled closed form."""
        lowered = self.mode.lowered
        known = {**self.known, "dy": dy.reshape(*self.known["x"].shape)}
        saved = lowered.saved(*(known[name] for name in lowered.saved_arguments), self.eps)
        known |= zip(lowered.saved_outputs, saved, strict=True)
        found = lowered.backward(*(known[name] for name in lowered.arguments))
        return self.answered(dict(zip(lowered.outputs, found, strict=True)))

    def answered(self, found: Mapping[str, Any]) -> Any:
        """Keeps the gradients of the parameters; that of x, in the shape in which x came."""
        self.gradients = {name: found[f"d{name}"] for name in self.parameters}
        return found["dx"].reshape(*self.shape)


def groups_of(features: int, most: int = 10) -> int:
    """Into how many equal groups features are divided: at most so many, of two at least.

    >>> groups_of(100), groups_of(32, 8), groups_of(4)
    (10, 8, 2)
    """
    return max(count for count in range(1, min(most, features // 2) + 1) if features % count == 0)
