"""How a gradient becomes a step: SGD, momentum, Adam and RMSprop, on all parameters of a network at once."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from bncheck.case import Array
from bncheck.training.networks.network import Network


class Optimizer(ABC):
    """Moves a network's parameters against their gradient; `rate` is the learning rate."""

    def __init__(self, rate: float) -> None:
        self.rate, self.steps = rate, 0

    def step(self, network: Network) -> None:
        """One step of every parameter."""
        self.steps += 1
        network.values -= self.move(network.gradient())

    @abstractmethod
    def move(self, gradient: Array) -> Array:
        """By what the parameters are lowered; it may reuse the memory of the gradient."""


class SGD(Optimizer):
    """θ ← θ − η g.

    >>> SGD(0.25).move(np.array([2.0])).tolist()
    [0.5]
    """

    def move(self, gradient: Array) -> Array:
        """η g."""
        gradient *= self.rate
        return gradient


class Momentum(Optimizer):
    """v ← ρ v + g;  θ ← θ − η v."""

    def __init__(self, rate: float, momentum: float = 0.9) -> None:
        super().__init__(rate)
        self.momentum = momentum

    def move(self, gradient: Array) -> Array:
        """η v."""
        if self.steps == 1:
            self.velocity = np.zeros_like(gradient)
        self.velocity = self.momentum * self.velocity + gradient
        return self.rate * self.velocity


class Adam(Optimizer):
    """θ ← θ − η √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε), m and v running means of g and g².

    Source
        Kingma and Ba, "Adam", 2015, in the order that their section 2 gives, in which Keras has it: ε is added to √v
        before the bias is corrected, so that it weighs more in the first steps than in their algorithm 1.
    """

    def __init__(self, rate: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-7) -> None:
        super().__init__(rate)
        self.betas, self.eps = betas, eps

    def move(self, gradient: Array) -> Array:
        """The rate times the corrected mean over the corrected root."""
        if self.steps == 1:
            self.mean, self.square = np.zeros_like(gradient), np.zeros_like(gradient)
        first, second = self.betas
        self.mean += (1 - first) * (gradient - self.mean)
        self.square += (1 - second) * (gradient * gradient - self.square)
        corrected = self.rate * float(np.sqrt(1 - second**self.steps)) / (1 - first**self.steps)
        return corrected * self.mean / (np.sqrt(self.square) + self.eps)


class RMSprop(Optimizer):
    """θ ← θ − η g / √(v + ε), v a running mean of g²; ε inside the root, as Keras has it.

    Source
        Tieleman and Hinton, "Lecture 6.5", 2012.
    """

    def __init__(self, rate: float = 1e-3, old_weight: float = 0.9, eps: float = 1e-7) -> None:
        super().__init__(rate)
        self.old_weight, self.eps = old_weight, eps

    def move(self, gradient: Array) -> Array:
        """The rate times the gradient over the root."""
        if self.steps == 1:
            self.square = np.zeros_like(gradient)
        self.square += (1 - self.old_weight) * (gradient * gradient - self.square)
        return self.rate * gradient / np.sqrt(self.square + self.eps)
