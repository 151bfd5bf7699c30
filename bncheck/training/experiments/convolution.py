"""A course's convolutional network, and the three ways to evaluate it while batch norm's running statistics lag."""

from __future__ import annotations

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.evaluations import MOMENTA, Curves
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, spread
from bncheck.training.networks.architectures import convolutional
from bncheck.training.networks.optimizers import RMSprop

ABOUT = About(
    question="Does batch norm train a convolutional net faster, and what does evaluation say of it?",
    source="A course on batch norm in Keras: 2×conv 32, pool, 2×conv 64, pool, dense 128, sigmoids, RMSprop, Keras's"
    " defaults; 1000 digits instead of its data, and ReLUs beside the sigmoids. The lag: keras issues 3949, 7265.",
    limits="Few steps, 31 an epoch: of 60000 images an epoch has 1875, and what running statistics began with is gone"
    " before the first evaluation. One rate, one optimizer; evaluation is not training, which does not lag.",
)

BATCH, EPOCHS, RATE, EPS = 32, 10, 1e-3, 1e-3

SEEN = 300
"""Of so many training and test images loss and accuracy are taken after each epoch."""

ACTIVATIONS = ("sigmoid", "relu")


def settings(quick: bool) -> list[Setting]:
    """Each activation function without batch norm and with it."""
    return [{"activation": activation, "batch_norm": bn} for activation in ACTIVATIONS for bn in (False, True)]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """The curves of one training; a quick one is on few images."""
    if quick:
        data = Data(data.name, data.x_train[:64], data.y_train[:64], data.x_test[:64], data.y_test[:64])
    network = convolutional(
        data.shape,
        data.classes,
        np.random.default_rng(seed),
        normalization="batch_norm" if setting["batch_norm"] else None,
        activation=setting["activation"],
        eps=EPS,
    )
    epochs = 2 if quick else EPOCHS
    curves = Curves(network, data, BATCH, SEEN)
    steps = epochs * data.steps(BATCH)
    fit(network, RMSprop(RATE), data, batch=BATCH, steps=steps, seed=seed, watch=curves.watch)
    return curves.ended(epochs)


def curve(results: Results, name: str, activation: str, *, batch_norm: bool) -> Array:
    """One of the curves.

    Shapes
        returned: (seeds, epochs + 1)
    """
    return results.values(name, activation=activation, batch_norm=batch_norm)


READINGS = {"train": "in training", "batch": "batch statistics", "fast": "momentum .9", "slow": "momentum .99"}
"""What is measured of a network with batch norm; all but the first on the test data."""


def table(results: Results) -> Table:
    """A row for each network and way to evaluate it: accuracies by epoch, and the loss at the end."""
    epochs = curve(results, "train_loss", ACTIVATIONS[0], batch_norm=False).shape[1] - 1
    shown = sorted({1, 2, epochs // 2, epochs})
    rows = []
    for activation in results.settings("activation"):
        name = "ReLU" if activation == "relu" else activation
        for way, words in (("train", "without, in training"), ("test", "without, test")):
            rows.append((f"{name} {words}", *_cells(results, way, activation, False, shown)))
        for way, words in READINGS.items():
            rows.append((f"{name} BN, {words}", *_cells(results, way, activation, True, shown)))
    return Table(("network", *(f"epoch {epoch}" for epoch in shown), "loss then"), tuple(rows))


def _cells(results: Results, way: str, activation: str, batch_norm: bool, shown: list[int]) -> list[str]:
    accuracy, loss = (
        curve(results, f"{way}_{what}", activation, batch_norm=batch_norm).mean(axis=0) for what in ("accuracy", "loss")
    )
    return [*(f"{accuracy[epoch]:.3f}" for epoch in shown), f"{loss[shown[-1]]:.3g}"]


GUESSING = 0.25
"""An accuracy on ten classes that is little better than guessing."""

LEARNED = 0.9
"""An accuracy on the training data that none takes for guessing."""


def blind(results: Results, name: str, activation: str) -> Array:
    """Where the network has learned in training and guesses in this evaluation.

    Shapes
        returned: (seeds, epochs + 1), true or false
    """
    learned = curve(results, "train_accuracy", activation, batch_norm=True) >= LEARNED
    return np.asarray(learned & (curve(results, f"{name}_accuracy", activation, batch_norm=True) <= GUESSING))


def behind(results: Results, name: str, activation: str) -> float:
    """By how much this evaluation's accuracy falls short of that with batch statistics, at most, from epoch 2 on."""
    best, seen = (curve(results, f"{n}_accuracy", activation, batch_norm=True)[:, 2:] for n in ("batch", name))
    return float(np.nanmax(np.append(best - seen, 0)))


def sentence(results: Results) -> str:
    """How the course's network ends, and how long running statistics make one that has learned look like guessing."""
    plain, normal = (curve(results, "train_accuracy", "sigmoid", batch_norm=bn)[:, -1] for bn in (False, True))
    slow, fast = (blind(results, name, "sigmoid") for name in MOMENTA)
    relu = curve(results, "test_accuracy", "relu", batch_norm=False)[:, -1]
    relu_normal = curve(results, "batch_accuracy", "relu", batch_norm=True)[:, -1]
    return (
        f"Sigmoids end at a training accuracy of {spread(plain).text('.2g')} without batch norm and"
        f" {spread(normal).text('.2g')} with it; evaluated with running statistics of momentum {MOMENTA['slow']} the"
        f" network that has learned still guesses after {spread(slow.sum(axis=1))} of {slow.shape[1] - 1} epochs, with"
        f" {MOMENTA['fast']} after {spread(fast.sum(axis=1))}, yet up to {behind(results, 'fast', 'sigmoid'):.2g} of"
        f" accuracy behind; ReLUs end at a test accuracy of {spread(relu).text('.2g')} without and"
        f" {spread(relu_normal).text('.2g')} with batch norm."
    )
