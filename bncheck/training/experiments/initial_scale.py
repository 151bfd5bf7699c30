"""Sixteen scales of the initial weights, without batch norm and with it."""

from __future__ import annotations

import numpy as np

from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="How large may the initial weights be?",
    source="Saitoh, Deep Learning from Scratch, 2016, section 6.3.2; five hidden layers of 100 ReLUs, SGD at 0.01.",
    limits="After 20 epochs at one rate. With another rate, or more epochs, the scales that learn are others.",
)

SCALES = tuple(float(f"{10 ** (-4 * k / 15):.3g}") for k in range(16))
"""Standard deviations of the initial weights, from 1 to 0.0001."""

HIDDEN = (100,) * 5
RATE, BATCH, EPOCHS = 0.01, 100, 20


def settings(quick: bool) -> list[Setting]:
    """Each scale without batch norm and with it; a quick run takes every fifth scale."""
    return [{"scale": scale, "batch_norm": bn} for scale in SCALES[:: 5 if quick else 1] for bn in (False, True)]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """Accuracy on the training data after every epoch, and on the test data at the end."""
    flat = data.flat
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        scale=setting["scale"],
        normalization="batch_norm" if setting["batch_norm"] else None,
    )
    epoch = flat.steps(BATCH)
    curve = [network.measured(flat.x_train, flat.y_train).accuracy]

    def watch(step: int, loss: float) -> None:
        if step % epoch == 0:
            curve.append(network.measured(flat.x_train, flat.y_train).accuracy)

    epochs = 3 if quick else EPOCHS
    fit(network, SGD(RATE), flat, batch=BATCH, steps=epoch * epochs, seed=seed, watch=watch)
    while len(curve) <= epochs:  # the loss was no number any more
        curve.append(network.measured(flat.x_train, flat.y_train).accuracy)
    test = network.measured(flat.x_test, flat.y_test).accuracy
    return {"train": rounded(curve, 4), "test": rounded(test, 4)}


def final(results: Results, *, batch_norm: bool) -> dict[float, np.ndarray]:
    """The training accuracy at the end of each run, by scale."""
    return {
        scale: np.array([run.measured["train"][-1] for run in results.where(scale=scale, batch_norm=batch_norm)])
        for scale in results.settings("scale")
    }


def table(results: Results) -> Table:
    """A row for each scale."""
    rows = []
    for scale in results.settings("scale"):
        cells = []
        for batch_norm in (False, True):
            runs = results.where(scale=scale, batch_norm=batch_norm)
            cells += [f"{np.mean([run.measured['train'][-1] for run in runs]):.3f}"]
            cells += [f"{np.mean([run.measured['test'] for run in runs]):.3f}"]
        rows.append((f"{scale:g}", cells[0], cells[2], cells[1], cells[3]))
    return Table(("scale", "train", "with BN", "test", "with BN"), tuple(rows))


GOOD = 0.85
"""The training accuracy from which on a network counts as having learned."""


def sentence(results: Results) -> str:
    """At how many scales either learns, and where none is the better one."""
    plain, normal = (final(results, batch_norm=bn) for bn in (False, True))
    learned = [sum(found[scale].min() >= GOOD for scale in found) for found in (plain, normal)]
    better = [f"{scale:g}" for scale in plain if plain[scale].min() > normal[scale].max()]
    count, seeds = len(plain), len(results.seeds)
    said = (
        f"Of {count} scales batch norm reaches a training accuracy of {GOOD} at {learned[1]} with every one of {seeds}"
        f" seeds, no normalization at {learned[0]}"
    )
    return f"{said}; no normalization is the better one with every seed at {', '.join(better) or 'none'}."
