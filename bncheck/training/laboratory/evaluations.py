"""A network's loss and accuracy epoch by epoch, evaluated in every way that batch norm has.

In training batch norm takes the statistics of the batch, in evaluation running ones. These do not influence the
training, so that one training may keep several.
"""

from __future__ import annotations

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.results import rounded
from bncheck.training.networks.network import Measured, Network

MOMENTA = {"slow": 0.99, "fast": 0.9}
"""Weights of what a running average was before: Keras's default, and what PyTorch calls a momentum of 0.1."""


class RunningAverages:
    """The running mean and variance of every batch norm of a network, which keep so much of what they were.

    They begin at 0 and 1; the variance of a batch has the divisor m.

    >>> from bncheck.training.networks.normalization import Normalization
    >>> import numpy as np
    >>> network = Network([Normalization("batch_norm", (1,))])
    >>> averages = RunningAverages(network, 0.5)
    >>> scores = network.forward(np.array([[1.0], [3.0]]), training=True)
    >>> averages.step()
    >>> {name: value.item() for name, value in averages.states[0].items()}
    {'running_mean': 1.0, 'running_var': 1.0}
    """

    def __init__(self, network: Network, momentum: float) -> None:
        self.network, self.momentum = network, momentum
        self.states = [dict(norm.state) for norm in network.normalizations]

    def step(self) -> None:
        """Takes in the statistics of the batch that the network was trained on last."""
        for norm, state in zip(self.network.normalizations, self.states, strict=True):
            for name, new in zip(("running_mean", "running_var"), norm.statistics, strict=True):
                state[name] = self.momentum * state[name] + (1 - self.momentum) * new

    def measured(self, x: Array, labels: Array, batch: int) -> Measured:
        """Loss and accuracy in evaluation mode with these statistics; the network keeps its own."""
        with self.network.unchanged():
            for norm, state in zip(self.network.normalizations, self.states, strict=True):
                norm.state = state
            return self.network.measured(x, labels, batch=batch)


class Curves:
    """Loss and accuracy by epoch, from before the first one on, under names such as ``train_loss``.

    `train` is on the training data as in training, the others on the test data: `test` without batch norm; with it
    `batch` with the statistics of each batch, and one for each of `MOMENTA`. `watch` is for `fit`; of both data the
    first `images` are evaluated, all without a number.
    """

    def __init__(self, network: Network, data: Data, batch: int, images: int | None = None) -> None:
        self.network, self.data, self.batch, self.images = network, data, batch, images
        normal = bool(network.normalizations)
        self.averages = {n: RunningAverages(network, momentum) for n, momentum in MOMENTA.items()} if normal else {}
        self.found: dict[str, list[float]] = {}
        self._measure()

    def watch(self, step: int, loss: float) -> None:
        """After every step; measures after every epoch."""
        for averages in self.averages.values():
            averages.step()
        if step % self.data.steps(self.batch) == 0:
            self._measure()

    def ended(self, epochs: int) -> dict[str, list[float | None]]:
        """The curves, rounded; from where a training broke off they go on with no number."""
        return {name: rounded((curve + [float("nan")] * epochs)[: epochs + 1], 4) for name, curve in self.found.items()}

    def _measure(self) -> None:
        data, network, batch = self.data, self.network, self.batch
        seen = slice(self.images)
        train, test = (data.x_train[seen], data.y_train[seen]), (data.x_test[seen], data.y_test[seen])
        self._keep("train", network.measured(*train, training=True, batch=batch))
        if not self.averages:
            self._keep("test", network.measured(*test, batch=batch))
            return
        self._keep("batch", network.measured(*test, training=True, batch=batch))
        for name, averages in self.averages.items():
            self._keep(name, averages.measured(*test, batch=batch))

    def _keep(self, name: str, measured: Measured) -> None:
        self.found.setdefault(f"{name}_loss", []).append(measured.loss)
        self.found.setdefault(f"{name}_accuracy", []).append(measured.accuracy)
