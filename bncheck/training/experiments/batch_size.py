"""Batches from 2 to 32 samples, with batch norm, layer norm, group norm and none."""

from __future__ import annotations

import numpy as np

from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="How small may a batch be?",
    source="Wu and He, Group Normalization, 2018, figure 1: ResNet-50 on ImageNet, batches of 2 to 32 on each GPU, the"
    " rate in proportion to the batch; here two hidden layers of 100 ReLUs on digits, and layer norm and none besides.",
    limits="In a dense network a batch of 2 gives each statistic two values, and x̂ is ±1 unless they nearly agree; in a"
    " convolution it gives twice as many as there are pixels, so theirs lose less: 34.7 % at 2 against 23.6 % at 32."
    " That group norm comes near batch norm in a large network on ImageNet cannot be seen here.",
)

BATCHES = (2, 4, 8, 16, 32)
KINDS = ("batch_norm", "layer_norm", "group_norm", "none")

HIDDEN, EPOCHS = (100,) * 2, 10
RATE = 0.1
"""Of the largest batch; smaller ones have as much less as they are smaller."""


def settings(quick: bool) -> list[Setting]:
    """Each batch with each normalization; a quick run takes two batches."""
    return [{"batch": batch, "kind": kind} for batch in BATCHES[:: 4 if quick else 1] for kind in KINDS]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """The error on the test data, and the loss on the training data in batches as in training, and in evaluation."""
    flat, batch = data.flat, setting["batch"]
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        normalization=None if setting["kind"] == "none" else setting["kind"],
    )
    steps = 40 if quick else EPOCHS * flat.steps(batch)
    fit(network, SGD(RATE * batch / BATCHES[-1]), flat, batch=batch, steps=steps, seed=seed)
    test = network.measured(flat.x_test, flat.y_test)
    batches = network.measured(flat.x_train, flat.y_train, training=True, batch=batch)
    evaluated = network.measured(flat.x_train, flat.y_train)
    found = {"error": 1 - test.accuracy, "training": batches.loss, "evaluation": evaluated.loss}
    return {name: rounded(value, 4) for name, value in found.items()}


def table(results: Results) -> Table:
    """A row for each batch: the test error of each kind, and the two losses with batch norm."""
    rows = []
    for batch in results.settings("batch"):
        errors = [f"{100 * results.spread('error', batch=batch, kind=kind).mean:.1f}" for kind in KINDS]
        losses = [
            results.spread(name, batch=batch, kind="batch_norm").text(".3f") for name in ("training", "evaluation")
        ]
        rows.append((str(batch), *errors, *losses))
    return Table(("batch", "BN", "LN", "GN", "none", "BN: loss in training", "in evaluation"), tuple(rows))


def sentence(results: Results) -> str:
    """The test errors at the smallest and the largest batch, and the two losses with batch norm at the smallest."""
    batches = results.settings("batch")
    least, most = min(batches), max(batches)
    ends = {kind: " and ".join(_percent(results, kind, batch) for batch in (least, most)) for kind in KINDS}
    losses = [results.spread(name, batch=least, kind="batch_norm").text(".2f") for name in ("training", "evaluation")]
    return (
        f"At batches of {least} and of {most} the test error is {ends['batch_norm']} % with batch norm,"
        f" {ends['layer_norm']} % with layer norm, {ends['group_norm']} % with group norm and {ends['none']} % with"
        f" none. At {least} the loss of batch norm on the training data is {losses[0]} with the statistics of each"
        f" batch, {losses[1]} with the running ones."
    )


def _percent(results: Results, kind: str, batch: int) -> str:
    return spread(100 * results.values("error", batch=batch, kind=kind)).text(".1f")
