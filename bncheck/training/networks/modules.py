"""The parts of a network that are no normalization: linear maps, convolutions, pooling and activation functions.

Each keeps from its forward pass what its backward pass needs. They use operators and a few functions of NumPy, so that
midpoint-radius arrays can flow through them as floats do, and a tolerance can be computed for a whole network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.case import Array


class Module(ABC):
    """One part of a network: `parameters` are learned, `gradients` are those of the last backward pass."""

    def __init__(self, **parameters: Array) -> None:
        self.parameters: dict[str, Any] = parameters
        self.gradients: dict[str, Any] = {}

    @abstractmethod
    def forward(self, x: Any, training: bool) -> Any:
        """Its output; in training mode a normalization takes the statistics of this batch."""

    @abstractmethod
    def backward(self, dy: Any) -> Any:
        """The gradient of its input, from that of its output; leaves those of its parameters in `gradients`."""

    def learn(self, dy: Any) -> None:
        """The gradients of its parameters alone, where nobody asks for that of its input."""
        self.backward(dy)


class Linear(Module):
    """y = x W + b, the bias left out where it is None.

    Shapes
        x: (N, inputs); weight: (inputs, outputs); bias: (outputs,)

    >>> linear = Linear(np.array([[2.0], [1.0]]), None)
    >>> linear.forward(np.array([[3.0, 4.0]]), training=True).tolist(), linear.backward(np.array([[1.0]])).tolist()
    ([[10.0]], [[2.0, 1.0]])
    """

    def __init__(self, weight: Array, bias: Array | None) -> None:
        super().__init__(weight=weight, **({} if bias is None else {"bias": bias}))

    def forward(self, x: Any, training: bool) -> Any:
        """x W + b."""
        self.x = x
        y = x @ self.parameters["weight"]
        if "bias" in self.parameters:
            y += self.parameters["bias"]
        return y

    def backward(self, dy: Any) -> Any:
        """dx = dy Wᵀ."""
        self.learn(dy)
        return dy @ self.parameters["weight"].T

    def learn(self, dy: Any) -> None:
        """dW = xᵀ dy; db = Σ dy over the samples."""
        self.gradients["weight"] = self.x.T @ dy
        if "bias" in self.parameters:
            self.gradients["bias"] = dy.sum(axis=(0,), keepdims=True).reshape(-1)


class Convolution(Module):
    """A convolution with a kernel of 3×3 over images padded with zeros: a linear map of each pixel's neighbourhood.

    Shapes
        x: (N, H, W, inputs); weight: (3, 3, inputs, outputs); bias: (outputs,)
    """

    def __init__(self, weight: Array, bias: Array | None) -> None:
        super().__init__(weight=weight, **({} if bias is None else {"bias": bias}))

    def forward(self, x: Any, training: bool) -> Any:
        """Each output is a sum over the nine neighbours and the input channels."""
        weight = self.parameters["weight"]
        self.columns = unfolded(x)
        y = self.columns @ weight.reshape(-1, weight.shape[-1])
        if "bias" in self.parameters:
            y += self.parameters["bias"]
        return y.reshape(*x.shape[:-1], weight.shape[-1])

    def backward(self, dy: Any) -> Any:
        """dx is the convolution of dy with the kernel turned round, its channels exchanged."""
        self.learn(dy)
        weight = self.parameters["weight"]
        turned = weight[::-1, ::-1].transpose(0, 1, 3, 2)
        dx = unfolded(dy) @ turned.reshape(-1, weight.shape[2])
        return dx.reshape(*dy.shape[:-1], weight.shape[2])

    def learn(self, dy: Any) -> None:
        """dW and db, as of any linear map, over the pixels of all samples."""
        weight = self.parameters["weight"]
        rows = dy.reshape(-1, weight.shape[-1])
        self.gradients["weight"] = (self.columns.T @ rows).reshape(*weight.shape)
        if "bias" in self.parameters:
            self.gradients["bias"] = rows.sum(axis=(0,), keepdims=True).reshape(-1)


def unfolded(x: Any) -> Any:
    """The 3×3 neighbourhood of every pixel in a row of its own, zeros around the image.

    Shapes
        x: (N, H, W, C); returned: (N·H·W, 9·C), channels last

    >>> unfolded(np.ones((1, 2, 2, 1))).sum(axis=1).tolist()
    [4.0, 4.0, 4.0, 4.0]
    """
    height, width, channels = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.concatenate(shifted, axis=3).reshape(-1, 9 * channels)


class MaxPool(Module):
    """The largest of each 2×2 pixels; where several are, the first.

    Shapes
        x: (N, H, W, C), H and W even; y: (N, H/2, W/2, C)
    """

    def forward(self, x: Any, training: bool) -> Any:
        """The largest of four, and which it was."""
        samples, height, width, channels = self.shape = x.shape
        four = x.reshape(samples, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
        four = four.reshape(-1, 4)
        self.chosen = np.eye(4, dtype=bool)[four.argmax(axis=1)]
        return four[self.chosen].reshape(samples, height // 2, width // 2, channels)

    def backward(self, dy: Any) -> Any:
        """The gradient goes to the pixel that was chosen."""
        samples, height, width, channels = self.shape
        four = dy.reshape(-1, 1) * self.chosen
        four = four.reshape(samples, height // 2, width // 2, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return four.reshape(*self.shape)


class Flatten(Module):
    """Each sample in a row."""

    def forward(self, x: Any, training: bool) -> Any:
        """(N, …) to (N, all the rest)."""
        self.shape = x.shape
        return x.reshape(x.shape[0], -1)

    def backward(self, dy: Any) -> Any:
        """The way back."""
        return dy.reshape(*self.shape)


class Sigmoid(Module):
    """y = 1 / (1 + e⁻ˣ)."""

    def forward(self, x: Any, training: bool) -> Any:
        """1 / (1 + e⁻ˣ)."""
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dy: Any) -> Any:
        """dx = dy y (1 − y)."""
        return dy * (self.y * (1 - self.y))


class Tanh(Module):
    """y = tanh x."""

    def forward(self, x: Any, training: bool) -> Any:
        """tanh x."""
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Any) -> Any:
        """dx = dy (1 − y²)."""
        return dy * (1 - self.y * self.y)


class ReLU(Module):
    """y = max(x, 0)."""

    def forward(self, x: Any, training: bool) -> Any:
        """max(x, 0)."""
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, dy: Any) -> Any:
        """dx = dy where x > 0, else 0: at 0 itself, of the two one-sided derivatives, the left one."""
        return dy * (self.y > 0)


class Identity(Module):
    """y = x: what makes a deep network linear."""

    def forward(self, x: Any, training: bool) -> Any:
        """x itself."""
        return x

    def backward(self, dy: Any) -> Any:
        """dy itself."""
        return dy


ACTIVATIONS: Mapping[str, Callable[[], Module]] = MappingProxyType(
    {"sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU, "linear": Identity}
)
"""Activation functions by name."""
