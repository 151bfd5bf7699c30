"""A network: modules in a row, and a loss at their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.training.networks.loss import Loss, softmax_cross_entropy
from bncheck.training.networks.modules import Convolution, Linear, Module
from bncheck.training.networks.normalization import Normalization


class Measured(NamedTuple):
    """The loss and the accuracy, from 0 to 1, on some data."""

    loss: float
    accuracy: float


class Network:
    """Modules in a row; scores at the end, of which softmax cross-entropy is the loss.

    All parameters lie in one array, `values`; those of the modules are views of it, so that an optimizer moves them all
    at once. They are of one dtype.

    >>> network = Network([Linear(np.zeros((2, 3)), np.zeros(3))])
    >>> float(network.step(np.ones((1, 2)), np.array([0])).round(4)), network.gradient().round(2).tolist()[-3:]
    (1.0986, [-0.67, 0.33, 0.33])
    """

    def __init__(self, modules: Sequence[Module]) -> None:
        self.modules = tuple(modules)
        self.values: Array = np.concatenate([module.parameters[name].ravel() for module, name in self.parameters()])
        start = 0
        for module, name in self.parameters():
            parameter = module.parameters[name]
            module.parameters[name] = self.values[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size

    @property
    def weighted(self) -> list[Linear | Convolution]:
        """The linear maps and convolutions, the first one first."""
        return [module for module in self.modules if isinstance(module, Linear | Convolution)]

    @property
    def normalizations(self) -> list[Normalization]:
        """The normalization layers, the first one first."""
        return [module for module in self.modules if isinstance(module, Normalization)]

    def parameters(self) -> Iterator[tuple[Module, str]]:
        """Every parameter, as the module that has it and its name there."""
        for module in self.modules:
            for name in module.parameters:
                yield module, name

    def gradient(self) -> Array:
        """The gradients of the last backward pass in one array, in the order of `values`."""
        return np.concatenate([module.gradients[name].ravel() for module, name in self.parameters()])

    def forward(self, x: Any, *, training: bool) -> Any:
        """The scores."""
        for module in self.modules:
            x = module.forward(x, training)
        return x

    def backward(self, dy: Any) -> Any:
        """The gradient of the input; those of the parameters stay with their modules."""
        for module in reversed(self.modules):
            dy = module.backward(dy)
        return dy

    def passed(self, x: Any, labels: Array, *, training: bool = True) -> tuple[Any, Any]:
        """One forward and backward pass: the loss, and its gradient with respect to the input."""
        loss: Loss = softmax_cross_entropy(self.forward(x, training=training), labels)
        return loss.value, self.backward(loss.gradient)

    def step(self, x: Any, labels: Array, *, training: bool = True) -> Any:
        """The same without the gradient of the input, which no training asks for: the loss."""
        loss: Loss = softmax_cross_entropy(self.forward(x, training=training), labels)
        dy = loss.gradient
        for module in self.modules[:0:-1]:
            dy = module.backward(dy)
        self.modules[0].learn(dy)
        return loss.value

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Whatever is tried within, afterwards the parameters and the running statistics are what they were."""
        values, states = self.values.copy(), [dict(norm.state) for norm in self.normalizations]
        try:
            yield
        finally:
            self.values[:] = values
            for norm, state in zip(self.normalizations, states, strict=True):
                norm.state = state

    def measured(self, x: Array, labels: Array, *, training: bool = False, batch: int = 1000) -> Measured:
        """Loss and accuracy, in evaluation mode or with the statistics of each batch; nothing is learned."""
        found = np.zeros(2)
        with self.unchanged():
            for start in range(0, len(x), batch):
                part = slice(start, start + batch)
                scores = self.forward(x[part], training=training)
                right = scores.argmax(axis=1) == labels[part]
                found += len(scores) * float(softmax_cross_entropy(scores, labels[part]).value), right.sum()
        return Measured(*(found / len(x)).tolist())
