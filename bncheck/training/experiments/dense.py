"""A wide hidden layer with batch norm behind its ReLUs, as courses build it, and its four losses."""

from __future__ import annotations

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.evaluations import MOMENTA, Curves
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, spread
from bncheck.training.networks.architectures import wide
from bncheck.training.networks.optimizers import Adam

ABOUT = About(
    question="What does batch norm gain in one wide layer?",
    source="A Keras course, part 5: Dense(1000, relu), batch norm, Dense(softmax), Adam, batches of 64, Keras's"
    " defaults; 1000 digits instead of its data.",
    limits="One layer learns without batch norm, too, and a lower training loss is not yet a better network. With 15"
    " steps an epoch running statistics lag for many epochs, with more steps for fewer.",
)

UNITS, BATCH, EPOCHS, RATE, EPS = 1000, 64, 30, 1e-3, 1e-3


def settings(quick: bool) -> list[Setting]:
    """Without batch norm and with it."""
    return [{"batch_norm": False}, {"batch_norm": True}]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """The curves of one training."""
    flat, normal = data.flat, setting["batch_norm"]
    rng = np.random.default_rng(seed)
    network = wide(flat.features, UNITS, flat.classes, rng, batch_norm=normal, eps=EPS)
    epochs = 3 if quick else EPOCHS
    curves = Curves(network, flat, BATCH)
    steps = epochs * flat.steps(BATCH)
    fit(network, Adam(RATE), flat, batch=BATCH, steps=steps, seed=seed, watch=curves.watch)
    return curves.ended(epochs)


READINGS = {
    "in training": ("train", False),
    "test": ("test", False),
    "with BN, in training": ("train", True),
    "with BN, batch statistics": ("batch", True),
    "with BN, momentum .9": ("fast", True),
    "with BN, momentum .99": ("slow", True),
}
"""What is measured, and of which network: all but the first of each on the test data."""


def table(results: Results) -> Table:
    """A row for each way to evaluate: losses by epoch, and the accuracy at the end."""
    epochs = len(results.runs[0].measured["train_loss"]) - 1
    shown = sorted({1, 2, epochs // 3, epochs})
    rows = []
    for words, (name, batch_norm) in READINGS.items():
        loss, accuracy = (
            results.values(f"{name}_{what}", batch_norm=batch_norm).mean(axis=0) for what in ("loss", "accuracy")
        )
        rows.append((words, *(f"{loss[epoch]:.3g}" for epoch in shown), f"{accuracy[-1]:.3f}"))
    return Table(("loss", *(f"epoch {epoch}" for epoch in shown), "accuracy then"), tuple(rows))


def gain(results: Results) -> Array:
    """How many times lower the training loss is with batch norm, epoch by epoch from the first on.

    Shapes
        returned: (seeds, epochs)
    """
    plain, normal = (results.values("train_loss", batch_norm=bn)[:, 1:] for bn in (False, True))
    return np.asarray(plain / normal)


def worse(results: Results, name: str) -> Array:
    """Where the test loss with batch norm, evaluated in this way, is the higher one, from epoch 1 on.

    Shapes
        returned: (seeds, epochs), true or false
    """
    plain, normal = results.values("test_loss", batch_norm=False), results.values(f"{name}_loss", batch_norm=True)
    return np.asarray(normal[:, 1:] > plain[:, 1:])


def sentence(results: Results) -> str:
    """What batch norm gains on the training data and on the test data, in each evaluation."""
    epochs = gain(results).shape[1]
    ends = {
        words: spread(results.values(f"{name}_accuracy", batch_norm=bn)[:, -1]).text()
        for words, (name, bn) in READINGS.items()
    }
    lost = {name: spread(worse(results, name).sum(axis=1)) for name in ("batch", *MOMENTA)}
    half = epochs // 2
    return (
        f"With batch norm the training loss after epoch {half} is {spread(gain(results)[:, half - 1])} times lower and"
        f" after epoch {epochs} {spread(gain(results)[:, -1])} times; test accuracy then {ends['test']} without and"
        f" {ends['with BN, momentum .99']} with. Yet for {lost['slow']} of {epochs} epochs the test loss with batch"
        f" norm is the higher one if it is evaluated with running statistics of momentum {MOMENTA['slow']}, for"
        f" {lost['fast']} if with {MOMENTA['fast']}, for {lost['batch']} if with the statistics of each batch."
    )
