"""The networks that the experiments train, with their initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.errors import InvalidInput
from bncheck.training.networks.modules import (
    ACTIVATIONS,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Module,
)
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import Normalization, groups_of

Rng = np.random.Generator


def dense(
    sizes: Sequence[int],
    rng: Rng,
    *,
    activation: str = "relu",
    normalization: str | None = None,
    scale: float | str = "he",
    bias: bool = True,
    dtype: Any = np.float32,
    **options: Any,
) -> Network:
    """Linear maps with an activation function after each but the last, and before it the normalization, if any.

    The weights are normal, with standard deviation `scale`, or √(2/inputs) for "he", √(1/inputs) for "xavier"; biases
    are zero. Further options are those of `Normalization`. With the same generator, a network with a normalization and
    one without get the same weights.

    >>> network = dense((4, 3, 2), np.random.default_rng(0), normalization="batch_norm")
    >>> [type(module).__name__ for module in network.modules]
    ['Linear', 'Normalization', 'ReLU', 'Linear']
    """
    modules: list[Module] = []
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = weights((inputs, outputs), inputs, scale, rng, dtype)
        modules.append(Linear(weight, np.zeros(outputs, dtype) if bias else None))
        if k < len(sizes) - 2:
            if normalization is not None:
                own = {"groups": groups_of(outputs), **options} if normalization == "group_norm" else options
                modules.append(Normalization(normalization, (outputs,), dtype=dtype, **own))
            modules.append(ACTIVATIONS[activation]())
    return Network(modules)


def wide(
    inputs: int, units: int, classes: int, rng: Rng, *, batch_norm: bool, dtype: Any = np.float32, **options: Any
) -> Network:
    """One hidden layer of ReLUs with batch norm *behind* them, as Keras courses write it; Glorot's uniform weights."""
    modules: list[Module] = [Linear(glorot((inputs, units), rng, dtype), np.zeros(units, dtype)), ACTIVATIONS["relu"]()]
    if batch_norm:
        modules.append(Normalization("batch_norm", (units,), dtype=dtype, **options))
    return Network([*modules, Linear(glorot((units, classes), rng, dtype), np.zeros(classes, dtype))])


def convolutional(
    shape: tuple[int, int, int],
    classes: int,
    rng: Rng,
    *,
    normalization: str | None,
    activation: str = "sigmoid",
    channels: Sequence[int] = (32, 32, 64, 64),
    units: int = 128,
    dtype: Any = np.float32,
    **options: Any,
) -> Network:
    """Convolutions with a normalization and an activation function, a 2×2 pool after every second, two linear maps.

    Shapes
        shape: (H, W, channels) of an image

    Raises
        InvalidInput: height or width cannot be halved as often as there are pools.
    """
    height, width, inputs = shape
    pools = len(channels) // 2
    if height % 2**pools or width % 2**pools:
        words = f"height and width divisible by {2**pools} for a convolutional network"
        raise InvalidInput("data", f"images of {height}×{width}", words, "Crop them, or name other experiments.")
    modules: list[Module] = []
    for k, outputs in enumerate(channels):
        modules.append(Convolution(glorot((3, 3, inputs, outputs), rng, dtype), np.zeros(outputs, dtype)))
        if normalization is not None:
            own = {"groups": groups_of(outputs, 8), **options} if normalization == "group_norm" else options
            modules.append(Normalization(normalization, (height, width, outputs), dtype=dtype, **own))
        modules.append(ACTIVATIONS[activation]())
        if k % 2:
            modules.append(MaxPool())
            height, width = height // 2, width // 2
        inputs = outputs
    flat = height * width * inputs
    modules += [Flatten(), Linear(glorot((flat, units), rng, dtype), np.zeros(units, dtype)), ACTIVATIONS[activation]()]
    return Network([*modules, Linear(glorot((units, classes), rng, dtype), np.zeros(classes, dtype))])


def weights(shape: tuple[int, ...], inputs: int, scale: float | str, rng: Rng, dtype: Any) -> Array:
    """Normal weights; by name, with the variance 2/inputs or 1/inputs."""
    spread = {"he": (2 / inputs) ** 0.5, "xavier": inputs**-0.5}[scale] if isinstance(scale, str) else scale
    return np.asarray(rng.normal(scale=spread, size=shape)).astype(dtype)


def glorot(shape: tuple[int, ...], rng: Rng, dtype: Any) -> Array:
    """Uniform weights within ±√(6 / (inputs + outputs)), Keras's own choice.

    Source
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    field = int(np.prod(shape[:-2]))
    limit = (6 / (field * (shape[-2] + shape[-1]))) ** 0.5
    return np.asarray(rng.uniform(-limit, limit, size=shape)).astype(dtype)
